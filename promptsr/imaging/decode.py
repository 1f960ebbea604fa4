"""Read image files, and refuse those that cannot be read faithfully."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pyvips

from promptsr.imaging import png_animation
from promptsr.imaging.colour import Colour, png_colour
from promptsr.imaging.containers import exif, gif, jpeg, png, tiff, webp
from promptsr.imaging.formats import format_of
from promptsr.imaging.heif import HeifImage, in_full_range
from promptsr.imaging.netpbm import NetpbmImage
from promptsr.imaging.picture import Header, Metadata, Picture
from promptsr.imaging.pillow_formats import PillowImage
from promptsr.support.errors import ImageError
from promptsr.support.resources import free_memory

_LOADERS = {
    "PNG": "pngload_source",
    "JPEG": "jpegload_source",
    "WebP": "webpload_source",
    "TIFF": "tiffload_source",
    "GIF": "gifload_source",
    "AVIF": "heifload_source",
}
"""Operations of libvips; only these of its readers are ever run."""
_READERS = {"PNG": png.read, "JPEG": jpeg.read, "WebP": webp.read, "GIF": gif.read}
_CHANNELS = {"b-w": (1, 2), "grey16": (1, 2), "srgb": (3, 4), "rgb16": (3, 4), "cmyk": (4, 5)}
_LARGEST_PIXEL = 16
"""Largest number of bytes of a file for each pixel: twice that of uncompressed 16-bit colour with alpha."""
_ALWAYS = 64 * 2**20
"""Number of bytes that any file may have, for metadata and further pages."""
_FAILURES = (pyvips.Error, UnicodeDecodeError)
"""Errors of libvips; the second where its message quotes bytes of the file."""
_COPIES, _DECODER = 2, 6
"""Copies of the pixels, and bytes of a decoder for each pixel, that decoding needs at its peak."""
_AMPLE = 2**28
"""Bytes that are always there."""


@dataclass(frozen=True)
class _File:
    name: str
    format: str
    data: bytes


def inspect(source: Path | bytes) -> Header:
    """Read the header of an image file; no pixel is decoded.

    Raises:
        ImageError: no such file, not one of the formats of `decode`, with a damaged header, or with pixels that
            `decode` cannot represent.
    """
    file = _read(source, None)
    if file.format not in _LOADERS:
        plain = _plain(file)
        depth, channels = 16 if plain.deep else 8, plain.channels
        return Header(file.format, plain.width, plain.height, depth, channels < 3, channels in (2, 4))
    try:
        image = _load(file)
        upright = image.autorot()
        width, height = upright.width, upright.height
    except _FAILURES as error:
        _refuse(file, error)
    _check_kind(image, file.name)
    depth = 8 if image.format == "uchar" else 16
    alpha = image.bands in (2, 4) if image.interpretation != "cmyk" else image.bands == 5
    frames, loop = 1, 0
    durations: tuple[int, ...] = ()
    if file.format == "PNG" and (animation := png_animation.animation_of(file.data)):
        frames, durations, loop = len(animation.durations), animation.durations, animation.loop
        alpha = alpha or animation.alpha
    elif file.format in ("GIF", "WebP") and (frames := _number(image, "n-pages", 1)) > 1:
        durations, loop = _durations(image, frames), _number(image, "loop", 0)
    elif file.format == "TIFF":
        frames = len(tiff.pages(file.data))
    return Header(file.format, width, height, depth, image.bands < 3, alpha, frames, durations, loop)


def decode(source: Path | bytes, *, frame: int = 0, max_pixels: int | None = None) -> Picture:
    """Read a PNG, JPEG, WebP, TIFF, GIF, AVIF, HEIC, BMP, PPM, PGM, PBM, PAM or TGA file.

    The format is told by the content, never by the suffix, but for TGA. The picture comes upright: a rotation in the
    EXIF data is applied, and its tag reset. Palettes and 1-bit images are expanded to 8 bit. CMYK is converted to sRGB
    by its own profile (a generic one if it has none), which is then dropped; colours that a PNG describes by gAMA, cHRM
    or cICP, and an AVIF or a HEIC by code points (nclx), are converted to sRGB; every other profile is kept and the
    values stay as they are.

    Args:
        source: a file, or the bytes of one.
        frame: number of a frame of an animation, as it is shown, or of a page of a TIFF; from 0.
        max_pixels: larger images are refused by their header, before any pixel is decoded; None: those for which the
            memory that is free does not suffice.

    Raises:
        ImageError: no such file, not one of these formats, no such frame, too large (in pixels, or in bytes for so
            many), damaged or cut short, or holding pixels that 8 or 16 bits cannot represent (floating point, 32 bit,
            signed, more than one extra channel).
    """
    file = _read(source, max_pixels)
    found = next(islice(_frames(file, max_pixels, only=frame), 1), None) if frame >= 0 else None
    if found is None:
        raise ImageError(f"{file.name} has no frame {frame}; the first is 0.")
    return found


def decode_frames(source: Path | bytes, *, max_pixels: int | None = None) -> Iterator[Picture]:
    """Yield the frames of an animation, as they are shown, or the pages of a TIFF, which may differ in size.

    Args:
        source: a file, or the bytes of one; a still image has one frame.
        max_pixels: as in `decode`, for each frame.

    Raises:
        ImageError: as in `decode`, at the first frame that cannot be read.
    """
    yield from _frames(_read(source, max_pixels), max_pixels)


def _frames(file: _File, max_pixels: int | None, only: int | None = None) -> Iterator[Picture]:
    """Yield all frames, or one of them; nothing if there is no such frame."""
    if file.format == "PNG" and png_animation.animation_of(file.data):
        yield from islice(_png_frames(file, max_pixels), only, None if only is None else only + 1)
        return
    pages = tiff.pages(file.data) if file.format == "TIFF" else range(1)
    if file.format in ("GIF", "WebP"):
        try:
            pages = range(_number(_load(file), "n-pages", 1))
        except _FAILURES as error:
            _refuse(file, error)
        if only is None and len(pages) > 1:
            yield from _stacked_frames(file, len(pages), max_pixels)
            return
    for page in pages if only is None else pages[only : only + 1]:
        yield _plain_picture(file, max_pixels) if file.format not in _LOADERS else _page(file, page, max_pixels)


def _page(file: _File, page: int, max_pixels: int | None) -> Picture:
    try:
        image = _load(file, page)
        _check_header(image, file.name, max_pixels)
        metadata = _metadata(file, image, page)
        # Turning needs all pixels at hand; else they are decoded as they are asked for, into the array alone.
        if _number(image, "orientation", 1) > 1:
            image = image.copy_memory().autorot()
        return _picture(file, image, metadata)
    except _FAILURES as error:
        _refuse(file, error)


def _stacked_frames(file: _File, count: int, max_pixels: int | None) -> Iterator[Picture]:
    """Yield the frames of a GIF or a WebP, which libvips stacks, from one pass."""
    try:
        first = _load(file)
        _check_header(first, file.name, max_pixels)
        metadata = _metadata(file, first, 0)
        strip = pyvips.Region.new(_load(file, count=count))
        height, width = first.height, first.width
        for frame in range(count):
            pixels = np.frombuffer(strip.fetch(0, frame * height, width, height), np.uint8)
            yield _of_pixels(pixels.reshape(height, width, -1), metadata)
    except _FAILURES as error:
        _refuse(file, error)


def _png_frames(file: _File, max_pixels: int | None) -> Iterator[Picture]:
    try:
        image = _load(file)
        _check_header(image, file.name, max_pixels)
        metadata = _metadata(file, image, 0)
        animation = png_animation.animation_of(file.data)
        alpha = image.bands in (2, 4) or (animation is not None and animation.alpha)
        color = png_colour(file.data, grey=image.bands < 3)

        def rgba(data: bytes) -> np.ndarray:
            part = _load(replace(file, data=data))
            _check_header(part, file.name, max_pixels)
            found = _of_pixels(_array(part), Metadata())
            opaque = np.full(found.color.shape[:2], np.iinfo(found.color.dtype).max, found.color.dtype)
            return np.dstack([found.color, opaque if found.alpha is None else found.alpha])

        for frame in png_animation.frames_of(file.data, rgba):
            shown = np.ascontiguousarray(frame[..., :3])
            shown = shown if color is None else color.converted(shown)
            yield Picture(shown, frame[..., 3].copy() if alpha else None, image.bands < 3, metadata)
    except (pyvips.Error, ValueError) as error:
        _refuse(file, error)


def _plain(file: _File) -> HeifImage | NetpbmImage | PillowImage:
    try:
        match file.format:
            case "HEIC":
                return HeifImage(file.data)
            case "PPM":
                return NetpbmImage(file.data)
            case _:
                return PillowImage(file.format, file.data)
    except ValueError as error:
        if file.format == "TGA":
            _refuse_foreign(file.name, error)
        _refuse(file, error)


def _plain_picture(file: _File, max_pixels: int | None) -> Picture:
    image = _plain(file)
    _check_size(file.name, image.width, image.height, image.channels * (1 + image.deep), max_pixels)
    try:
        found = _of_pixels(image.pixels(), _upright(image.metadata()))
    except ValueError as error:
        _refuse(file, error)
    return _in_srgb(found, image.colour() if isinstance(image, HeifImage) else None)


def _refuse(file: _File, error: Exception) -> NoReturn:
    pyvips.vips_lib.vips_error_clear()  # pyvips leaves a message that it cannot decode, before all later ones
    if file.format == "HEIC":
        raise ImageError(
            f"{file.name} is a HEIC image that is damaged or of a rare kind; export it again, as JPEG, PNG or TIFF."
        ) from error
    raise ImageError(f"{file.name} is damaged or incomplete; download it or export it again.") from error


def _refuse_foreign(name: str, error: Exception | None = None) -> NoReturn:
    raise ImageError(f"{name} is not an image we read; convert it to PNG, JPEG, WebP or TIFF.") from error


def _read(source: Path | bytes, max_pixels: int | None) -> _File:
    name = source.name if isinstance(source, Path) else "The image"
    data = source if isinstance(source, bytes) else _content(source, max_pixels)
    if not data:
        raise ImageError("The image is empty (0 bytes); send it again.")
    found = format_of(data)
    if found is None and isinstance(source, Path) and source.suffix.lower() == ".tga":
        found = "TGA"  # which has no signature
    if found is None:
        _refuse_foreign(name)
    return _File(name, found, data)


def _content(path: Path, max_pixels: int | None) -> bytes:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ImageError(f"{path.name} is empty (0 bytes); download it or export it again.")
            if max_pixels is None:
                _check_memory(path.name, size)
            elif size > max(_LARGEST_PIXEL * max_pixels, _ALWAYS):
                raise ImageError(
                    f"{path.name} has {size / 1e6:.0f} MB, more than an image within the limit of "
                    f"{max_pixels / 1e6:.1f} megapixels needs; crop it or scale it down first."
                )
            # In memory, since libvips maps files: one that is cut short while it is read would kill the program.
            return file.read()
    except OSError as error:
        raise ImageError(f"{path} cannot be opened ({error.strerror}); check the path and its rights.") from error


def _load(file: _File, page: int = 0, *, count: int = 1) -> pyvips.Image:
    # "error" rather than "truncated": the latter lets an uncompressed TIFF that was cut short pass as black.
    options: dict[str, Any] = {"access": "sequential", "fail_on": "error"}
    if file.format in ("TIFF", "GIF", "WebP"):
        options |= {"page": page, "n": count}
    return pyvips.Operation.call(_LOADERS[file.format], pyvips.Source.new_from_memory(file.data), **options)


def _check_header(image: pyvips.Image, name: str, max_pixels: int | None) -> None:
    size = 1 if image.format == "uchar" else 2
    _check_size(name, image.width, image.height, image.bands * size, max_pixels)
    _check_kind(image, name)


def _check_kind(image: pyvips.Image, name: str) -> None:
    if image.format not in ("uchar", "ushort"):
        raise ImageError(f"{name} holds {image.format} pixels; export it with 8 or 16 bits per channel.")
    if image.bands not in _CHANNELS.get(image.interpretation, ()):
        raise ImageError(
            f"{name} holds {image.bands} channels of kind {image.interpretation}; "
            "export it as grey or RGB, with or without alpha."
        )


def _check_size(name: str, width: int, height: int, pixel: int, max_pixels: int | None) -> None:
    pixels = width * height
    if max_pixels is None:
        _check_memory(f"{name} has {width} x {height} pixels, and", pixels * (_COPIES * max(pixel, 3) + _DECODER))
    elif pixels > max_pixels:
        raise ImageError(
            f"{name} has {width} x {height} pixels ({pixels / 1e6:.1f} megapixels), more than the limit of "
            f"{max_pixels / 1e6:.1f} megapixels; crop it or scale it down first."
        )


def _check_memory(subject: str, needed: int) -> None:
    free = free_memory()
    if free is not None and needed > max(free, _AMPLE):
        raise ImageError(
            f"{subject} needs {needed / 1e9:.1f} GB of memory, of which {free / 1e9:.1f} GB are free: close other "
            "programs, crop it or scale it down first."
        )


def _metadata(file: _File, image: pyvips.Image, page: int) -> Metadata:
    """Read the metadata, without what no longer fits an upright picture of its own."""
    if file.format in _READERS:
        found = _READERS[file.format](file.data)
    elif file.format == "TIFF":
        found = tiff.read(file.data, page)
    else:
        block = _blob(image, "exif-data")
        found = Metadata(exif=block and block.removeprefix(b"Exif\0\0"), xmp=_blob(image, "xmp-data"))
    turned = _number(image, "orientation", 1) in (5, 6, 7, 8)
    return _upright(replace(found, icc=_blob(image, "icc-profile-data")), turned=turned)


def _upright(found: Metadata, *, turned: bool = False) -> Metadata:
    """Remove what no longer fits; turned: rows became columns."""
    block = found.exif and exif.clean(found.exif)
    density = found.density or (block and exif.density_of(block)) or None
    return replace(
        found,
        exif=block,
        xmp=found.xmp and exif.upright_xmp(found.xmp),
        density=replace(density, x=density.y, y=density.x) if density and turned else density,
    )


def _picture(file: _File, image: pyvips.Image, metadata: Metadata) -> Picture:
    if image.interpretation == "cmyk":
        depth = 8 if image.format == "uchar" else 16
        image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
        metadata = replace(metadata, icc=None, notes=(*metadata.notes, "Its CMYK was converted to sRGB."))
    pixels = _array(image)
    color = None
    if file.format == "PNG":
        color = png_colour(file.data, grey=pixels.shape[2] < 3)
    elif file.format == "AVIF":
        with suppress(ValueError):
            color = HeifImage(file.data).colour()  # libvips keeps it to itself
        if pixels.dtype == np.uint16:
            pixels = in_full_range(pixels, _number(image, "bits-per-sample", 16))
    return _in_srgb(_of_pixels(pixels, metadata), color)


def _in_srgb(picture: Picture, color: Colour | None) -> Picture:
    """Convert the colours that a file has instead of a profile; a cICP goes before a profile."""
    if color is None:
        return picture
    metadata = replace(picture.metadata, icc=None, notes=(*picture.metadata.notes, color.note))
    return replace(picture, color=color.converted(picture.color), metadata=metadata)


def _of_pixels(pixels: np.ndarray, metadata: Metadata) -> Picture:
    """Take H x W x 1 to 4 apart."""
    channels = pixels.shape[2]
    color = np.repeat(pixels[..., :1], 3, axis=2) if channels < 3 else np.ascontiguousarray(pixels[..., :3])
    return Picture(color, pixels[..., -1].copy() if channels in (2, 4) else None, channels < 3, metadata)


def _array(image: pyvips.Image) -> np.ndarray:
    return image.numpy().reshape(image.height, image.width, image.bands)  # one band comes as H x W


def _blob(image: pyvips.Image, field: str) -> bytes | None:
    return image.get(field) if image.get_typeof(field) else None


def _number(image: pyvips.Image, field: str, default: int) -> int:
    return int(image.get(field)) if image.get_typeof(field) else default


def _durations(image: pyvips.Image, frames: int) -> tuple[int, ...]:
    found = image.get("delay") if image.get_typeof("delay") else []
    return tuple((list(found) + [0] * frames)[:frames])
