"""Write image files with libvips."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvips

from promptsr.imaging.picture import Picture
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
    max_side: int = 2**31 - 1
    """Pixels that the format or its library can hold."""


_PNG = _Format("pngsave_buffer", {"filter": "paeth", "compression": 3}, deep=True)
_JPEG = _Format(
    "jpegsave_buffer", {"subsample_mode": "off", "optimize_coding": True}, alpha=False, lossy=True, max_side=65500
)
_WEBP = _Format("webpsave_buffer", {"smart_subsample": True}, grey=False, lossy=True, max_side=16383)
_TIFF = _Format("tiffsave_buffer", {"compression": "deflate", "predictor": "horizontal"}, deep=True)
_FORMATS = {".png": _PNG, ".jpg": _JPEG, ".jpeg": _JPEG, ".webp": _WEBP, ".tif": _TIFF, ".tiff": _TIFF}

SUFFIXES = tuple(_FORMATS)
"""Suffixes of the formats that `encode` can write."""


def encode(picture: Picture, path: Path, *, quality: int = 95) -> None:
    """Write a picture in the format that the suffix of `path` names; the same picture gives the same bytes.

    PNG and TIFF (deflate) keep 8 or 16 bits and alpha. WebP and JPEG (4:4:4) are lossy and round 16 bits to 8; JPEG
    lays transparent pixels over white. Grey stays one channel where the format has that (all but WebP). The ICC
    profile, EXIF and XMP are written; EXIF not to TIFF, where libvips cannot.

    Args:
        quality: 1 to 100, for WebP and JPEG.

    Raises:
        ImageError: the suffix is unknown, or the picture too large for the format.
        ConfigError: a quality out of range.
        UserError: the folder cannot be written.
    """
    target = _FORMATS.get(path.suffix.lower())
    if target is None:
        raise ImageError(f"Cannot write {path.name}: choose a name that ends in {', '.join(SUFFIXES)}.")
    if not 1 <= quality <= 100:
        raise ConfigError(f"The quality must lie between 1 and 100, not {quality}.")
    if max(picture.height, picture.width) > target.max_side:
        raise ImageError(
            f"{path.suffix} files hold at most {target.max_side} pixels a side: write PNG or TIFF instead."
        )
    options = {**target.options, "Q": quality} if target.lossy else target.options
    try:
        data = getattr(_image(picture, target), target.save)(**options)
    except pyvips.Error as error:
        raise ImageError(f"{path.name} could not be encoded; write PNG or TIFF instead.") from error
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _image(picture: Picture, target: _Format) -> pyvips.Image:
    """Make an image with the channels and the depth that the format takes, and the metadata of the picture."""
    channels = [picture.color[..., :1] if picture.grey else picture.color]
    if picture.alpha is not None:
        channels.append(picture.alpha[..., None])
    image = pyvips.Image.new_from_array(np.concatenate(channels, axis=2))
    peak = 2**picture.bit_depth - 1
    if picture.alpha is not None and not target.alpha:  # in floating point: libvips would round down
        image = image.cast("float").flatten(background=peak, max_alpha=peak)
    deep = picture.bit_depth == 16 and target.deep
    if picture.bit_depth == 16 and not deep:
        image = image / 257  # 65535 / 255
    image = image.rint().cast("ushort" if deep else "uchar")
    kinds = ("b-w", "grey16") if picture.grey else ("srgb", "rgb16")
    metadata = picture.metadata
    image = image.copy(interpretation=kinds[deep], xres=metadata.density, yres=metadata.density)
    blobs = {"icc-profile-data": metadata.icc, "exif-data": metadata.exif, "xmp-data": metadata.xmp}
    for name, data in blobs.items():
        if data is not None:
            image.set_type(pyvips.GValue.blob_type, name, data)
    if picture.grey and not target.grey and metadata.icc is not None and metadata.icc[16:20] == b"GRAY":
        image = image.icc_transform("srgb", embedded=True)  # a grey profile cannot go with three channels
    return image
