"""Write image files: pixels with libvips, strip by strip, and metadata with our own small writers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyvips

from promptsr.imaging.containers import exif, jpeg, png, tiff, webp
from promptsr.imaging.picture import Metadata, Picture
from promptsr.support.errors import ConfigError, ImageError
from promptsr.support.files import replacing


@dataclass(frozen=True)
class _Format:
    save: str
    """Name of the libvips operation."""
    options: dict[str, Any]
    deep: bool = False
    """Holds 16 bits per channel."""
    alpha: bool = True
    """Holds an alpha channel."""
    grey: bool = True
    """Holds a single channel of colour."""
    lossy: bool = False
    max_side: int = 10**8 - 1
    """Pixels that the format or its library can hold."""


_PNG = _Format("pngsave_target", {"filter": "paeth", "compression": 3, "keep": "none"}, deep=True)
_JPEG = _Format("jpegsave_target", {"subsample_mode": "off", "keep": "icc"}, alpha=False, lossy=True, max_side=65500)
_WEBP = _Format("webpsave_target", {"smart_subsample": True, "keep": "icc"}, grey=False, lossy=True, max_side=16383)
_TIFF = _Format("tiffsave_target", {"compression": "deflate", "predictor": "horizontal", "keep": "icc"}, deep=True)
_FORMATS = {".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".webp": _WEBP, ".tif": _TIFF, ".tiff": _TIFF}

SUFFIXES = tuple(_FORMATS)
"""Suffixes of the formats that `encode` can write."""

_OPTIMIZED = 2**26
"""Pixels of a JPEG up to which its code tables are fitted to it: libjpeg keeps all coefficients for that."""
_CLASSIC_TIFF = 2**32 - 2**27
"""Bytes of pixels from which a TIFF needs offsets of 64 bits, with some room for the tables."""


def check_target(path: Path, width: int, height: int) -> None:
    """Check early that `encode` can write a picture of this size.

    Raises:
        ImageError: the suffix is unknown, or the picture too large for the format.
    """
    target = _format_of(path)
    if max(width, height) > target.max_side:
        raise ImageError(
            f"{path.suffix} files hold at most {target.max_side} pixels a side: write PNG or TIFF instead."
        )


def encode(picture: Picture, path: Path, *, quality: int = 95) -> list[str]:
    """Write a picture in the format that the suffix of `path` names; the same picture gives the same bytes.

    PNG and TIFF (deflate) keep 8 or 16 bits and alpha. WebP and JPEG (4:4:4) are lossy and round 16 bits to 8; JPEG
    lays transparent pixels over white. Grey stays one channel where the format has that (all but WebP). Metadata are
    written as far as the format holds them; the sides that EXIF and XMP name become those of the picture. Pixels are
    not copied as a whole, but for WebP.

    Args:
        quality: 1 to 100, for WebP and JPEG.

    Returns:
        What the format cannot hold, a phrase each, such as "the comment" or "16 bits per channel".

    Raises:
        ImageError: the suffix is unknown, or the picture too large for the format.
        ConfigError: a quality out of range.
        UserError: the folder cannot be written.
    """
    target = _format_of(path)
    if not 1 <= quality <= 100:
        raise ConfigError(f"The quality must lie between 1 and 100, not {quality}.")
    check_target(path, picture.width, picture.height)
    metadata = _of_size(picture.metadata, picture.width, picture.height)
    if _is_misfit(picture, target):
        metadata = replace(metadata, icc=None)
    options = target.options | ({"Q": quality} if target.lossy else {})
    pixels = picture.height * picture.width
    if target is _JPEG:
        options["optimize_coding"] = pixels <= _OPTIMIZED
    if target is _TIFF:
        size = pixels * picture.bit_depth // 8 * ((1 if picture.grey else 3) + (picture.alpha is not None))
        options["bigtiff"] = size > _CLASSIC_TIFF
    with replacing(path) as temporary, temporary.open("w+b") as file:
        sink = _Sink(file, _MAKERS[target.save](metadata, picture))
        try:
            getattr(_image(picture, target, metadata), target.save)(sink.target, **options)
        except pyvips.Error as error:
            if sink.error is not None:
                raise sink.error from error
            raise ImageError(f"{path.name} could not be encoded; write PNG or TIFF instead.") from error
        if target is _TIFF:
            tiff.add(file, metadata)
    return _lost(picture, metadata, target)


def losses(picture: Picture, path: Path) -> list[str]:
    """Return what `encode` would return, without writing anything.

    Raises:
        ImageError: the suffix is unknown.
    """
    return _lost(picture, _of_size(picture.metadata, picture.width, picture.height), _format_of(path))


def _format_of(path: Path) -> _Format:
    target = _FORMATS.get(path.suffix.lower())
    if target is None:
        raise ImageError(f"Cannot write {path.name}: choose a name that ends in {', '.join(SUFFIXES)}.")
    return target


_Maker = Callable[[bytes], bytes | None]
"""Takes the beginning of a file, and returns it with metadata; None as long as it is too short."""


class _Sink:
    """Target of libvips that writes into a file, and changes the beginning of what is written."""

    def __init__(self, file: BinaryIO, maker: _Maker | None) -> None:
        self.error: OSError | None = None
        self._file, self._maker, self._head = file, maker, b""
        self.target = pyvips.TargetCustom()
        self.target.on_write(self._write)
        self.target.on_read(lambda size: file.read(size))
        self.target.on_seek(lambda offset, whence: file.seek(offset, whence))

    def _write(self, data: bytes) -> int:
        try:
            if self._maker is None:
                self._file.write(data)
                return len(data)
            self._head += data
            made = self._maker(self._head)
            if made is not None:
                self._maker = None
                self._file.write(made)
        except OSError as error:  # which libvips would not pass on
            self.error = error
            return -1
        return len(data)


def _of_png(metadata: Metadata, _: Picture) -> _Maker:
    added = png.chunks(metadata)
    return lambda head: png.with_chunks(head, added)


def _of_jpeg(metadata: Metadata, _: Picture) -> _Maker:
    segments, _lost = jpeg.segments(metadata)
    return lambda head: head[:2] + segments + head[2:] if len(head) > 2 else None


def _of_webp(metadata: Metadata, picture: Picture) -> _Maker:
    """Wait for the whole file, which libwebp holds in memory in any case."""

    def make(head: bytes) -> bytes | None:
        if len(head) < 8 or len(head) < 8 + int.from_bytes(head[4:8], "little"):
            return None
        return webp.with_metadata(head, metadata, picture.width, picture.height)

    return make


_MAKERS: dict[str, Callable[[Metadata, Picture], _Maker | None]] = {
    "pngsave_target": _of_png,
    "jpegsave_target": _of_jpeg,
    "webpsave_target": _of_webp,
    "tiffsave_target": lambda *_: None,  # its directory is written last
}


def _of_size(metadata: Metadata, width: int, height: int) -> Metadata:
    """Make EXIF and XMP name the sides of the picture."""
    return replace(
        metadata,
        exif=metadata.exif and exif.resized(metadata.exif, width, height),
        xmp=metadata.xmp and exif.resized_xmp(metadata.xmp, width, height),
    )


def _fits(profile: bytes | None, *, grey: bool) -> bool:
    return profile is None or (profile[16:20] == b"GRAY") == grey


def _is_misfit(picture: Picture, target: _Format) -> bool:
    """Return whether the colour profile is of another kind than the pixels, which a PNG cannot hold."""
    return target is _PNG and not _fits(picture.metadata.icc, grey=picture.grey)


def _lost(picture: Picture, metadata: Metadata, target: _Format) -> list[str]:
    misfit = ["the colour profile, which is of another kind than the pixels"] if _is_misfit(picture, target) else []
    return [*_lost_pixels(picture, target), *misfit, *_lost_metadata(metadata, target)]


def _lost_pixels(picture: Picture, target: _Format) -> list[str]:
    lost = []
    if picture.bit_depth == 16 and not target.deep:
        lost.append("16 bits per channel")
    if picture.alpha is not None and not target.alpha and picture.alpha.min() < np.iinfo(picture.alpha.dtype).max:
        lost.append("the transparency")
    return lost


def _lost_metadata(metadata: Metadata, target: _Format) -> list[str]:
    lost = []
    if target is _JPEG:
        lost += jpeg.segments(metadata)[1]
    if target is _WEBP and metadata.iptc is not None:
        lost.append("the IPTC records")
    if target is _WEBP and metadata.density is not None and exif.density_of(metadata.exif or b"") != metadata.density:
        lost.append("the density")
    for keyword, _ in metadata.texts:
        kept = png.is_keyword(keyword) if target is _PNG else target is _JPEG and keyword == "Comment"
        if not kept:
            lost.append("the comment" if keyword == "Comment" else f'the text "{keyword}"')
    return list(dict.fromkeys(lost))


def _image(picture: Picture, target: _Format, metadata: Metadata) -> pyvips.Image:
    """Make an image with the channels and the depth that the format takes, and the profile; pixels are not copied."""
    image = pyvips.Image.new_from_array(picture.color)
    if picture.grey:
        image = image.extract_band(0)
    if picture.alpha is not None:
        image = image.bandjoin(pyvips.Image.new_from_array(picture.alpha))
    peak = 2**picture.bit_depth - 1
    if picture.alpha is not None and not target.alpha:  # in floating point: libvips would round down
        image = image.cast("float").flatten(background=peak, max_alpha=peak)
    deep = picture.bit_depth == 16 and target.deep
    if picture.bit_depth == 16 and not deep:
        image = image / 257  # 65535 / 255
    image = image.rint().cast("ushort" if deep else "uchar")
    kinds = ("b-w", "grey16") if picture.grey else ("srgb", "rgb16")
    image = image.copy(interpretation=kinds[deep])
    if metadata.icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", metadata.icc)
    if picture.grey and not target.grey and metadata.icc is not None and not _fits(metadata.icc, grey=False):
        image = image.icc_transform("srgb", embedded=True)  # a grey profile cannot go with three channels
    return image
