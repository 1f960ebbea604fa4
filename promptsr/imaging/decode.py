"""Read image files with libvips, and refuse those that cannot be read faithfully."""

import math
import os
import re
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyvips

from promptsr.imaging.picture import Metadata, Picture
from promptsr.support.errors import ImageError, UserError

MAX_PIXELS = 64 * 2**20
"""Default cap on the pixels of an input image, 8192 x 8192."""

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".gif")
"""Suffixes of files that may hold an image, in lower case."""

# Only these readers of libvips are ever run: the loader that it finds by the first bytes -> the one that we call.
_LOADERS = {
    "VipsForeignLoadPngSource": "pngload_source",
    "VipsForeignLoadJpegSource": "jpegload_source",
    "VipsForeignLoadUhdrSource": "jpegload_source",  # an "Ultra HDR" photograph is a JPEG with a gain map behind it
    "VipsForeignLoadWebpSource": "webpload_source",
    "VipsForeignLoadTiffSource": "tiffload_source",
    "VipsForeignLoadNsgifSource": "gifload_source",
}
_CHANNELS = {"b-w": (1, 2), "grey16": (1, 2), "srgb": (3, 4), "rgb16": (3, 4), "cmyk": (4, 5)}
_ORIENTATION = 0x0112
_LARGEST_PIXEL = 16
"""Largest number of bytes of a file for each pixel: twice that of uncompressed 16-bit colour with alpha."""
_ALWAYS = 64 * 2**20
"""Number of bytes that any file may have, for metadata and further pages."""


def decode(source: Path | bytes, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read PNG, JPEG, WebP, TIFF (first page) or GIF (first frame), 8 or 16 bit.

    The picture comes upright: a rotation in the EXIF data is applied, and its tag reset. Palettes and 1-bit images
    are expanded to 8 bit. CMYK is converted to sRGB by its own profile (a generic one if it has none), which is then
    dropped; every other profile is kept and the values stay as they are. EXIF in TIFF files is not read.

    Args:
        source: a file, or the bytes of one.
        max_pixels: larger images are refused by their header, before any pixel is decoded.

    Raises:
        ImageError: no such file, not one of these formats, too large (in pixels, or in bytes for so many), damaged or
            cut short, or holding pixels that 8 or 16 bits cannot represent (floating point, 32 bit, signed, more than
            one extra channel).
    """
    name = source.name if isinstance(source, Path) else "The image"
    opened = _open(source, max_pixels)
    found = pyvips.vips_lib.vips_foreign_find_load_source(opened.pointer)
    loader = None if found == pyvips.ffi.NULL else _LOADERS.get(pyvips.ffi.string(found).decode())
    if loader is None:
        raise ImageError(f"{name} is not an image we read; convert it to PNG, JPEG, WebP or TIFF.")
    try:
        # "error" rather than "truncated": the latter lets an uncompressed TIFF that was cut short pass as black.
        image = pyvips.Operation.call(loader, opened, access="sequential", fail_on="error")
        _check_header(image, name, max_pixels)
        image = image.copy_memory().autorot()
        metadata = _metadata(image)
        if image.interpretation == "cmyk":
            depth = 8 if image.format == "uchar" else 16
            image = image.icc_transform("srgb", embedded=True, input_profile="cmyk", depth=depth)
            metadata = replace(metadata, icc=None)
        return _picture(image, metadata)
    except pyvips.Error as error:
        raise ImageError(f"{name} is damaged or incomplete; download it or export it again.") from error


def find_images(folder: Path) -> list[Path]:
    """Return the image files directly in `folder`, chosen by suffix and sorted by name; hidden files are left out.

    Raises:
        UserError: the folder does not exist or holds no image.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; give the folder that holds the images.")
    images = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file() and p.name[0] != "."]
    if not images:
        raise UserError(f"{folder} holds no image; put {', '.join(SUFFIXES)} files there, or give another folder.")
    return sorted(images)


def _open(source: Path | bytes, max_pixels: int) -> pyvips.Source:
    if isinstance(source, bytes):
        if not source:
            raise ImageError("The image is empty (0 bytes); send it again.")
        return pyvips.Source.new_from_memory(source)
    try:
        with source.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ImageError(f"{source.name} is empty (0 bytes); download it or export it again.")
            if size > max(_LARGEST_PIXEL * max_pixels, _ALWAYS):
                raise ImageError(
                    f"{source.name} has {size / 1e6:.0f} MB, more than an image within the limit of "
                    f"{max_pixels / 1e6:.1f} megapixels needs; crop it or scale it down first."
                )
            # In memory, since libvips maps files: one that is cut short while it is read would kill the program.
            return pyvips.Source.new_from_memory(file.read())
    except OSError as error:
        raise ImageError(f"{source} cannot be opened ({error.strerror}); check the path and its rights.") from error


def _check_header(image: pyvips.Image, name: str, max_pixels: int) -> None:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise ImageError(
            f"{name} has {image.width} x {image.height} pixels ({pixels / 1e6:.1f} megapixels), more than the limit of "
            f"{max_pixels / 1e6:.1f} megapixels; crop it or scale it down first."
        )
    if image.format not in ("uchar", "ushort"):
        raise ImageError(f"{name} holds {image.format} pixels; export it with 8 or 16 bits per channel.")
    if image.bands not in _CHANNELS.get(image.interpretation, ()):
        raise ImageError(
            f"{name} holds {image.bands} channels of kind {image.interpretation}; "
            "export it as grey or RGB, with or without alpha."
        )


def _metadata(image: pyvips.Image) -> Metadata:
    icc, exif, xmp = (
        image.get(field) if image.get_typeof(field) else None for field in ("icc-profile-data", "exif-data", "xmp-data")
    )
    if exif is not None:
        exif = _upright(exif.removeprefix(b"Exif\0\0"))
    if xmp is not None:
        xmp = re.sub(rb'(tiff:Orientation(?:\s*=\s*["\']|>))[2-8]', rb"\g<1>1", xmp)
    density = image.xres if 0 < image.xres < math.inf else Metadata.density  # damaged tags give 0 or infinity
    return Metadata(icc, exif, xmp, density)


def _upright(exif: bytes) -> bytes | None:
    """Set the orientation in the first directory of a block to 1 (TIFF 6.0, section 2); None if it is damaged."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    patched = bytearray(exif)
    try:
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):  # tag 2, type 2, count 4, value 4 bytes
            if struct.unpack_from(order + "H", exif, entry)[0] == _ORIENTATION:
                struct.pack_into(order + "H", patched, entry + 8, 1)
    except struct.error:
        return None
    return bytes(patched)


def _picture(image: pyvips.Image, metadata: Metadata) -> Picture:
    grey = image.bands < 3
    pixels = image.numpy().reshape(image.height, image.width, image.bands)  # one band comes as H x W
    alpha = pixels[..., -1].copy() if image.bands in (2, 4) else None
    color = np.repeat(pixels[..., :1], 3, axis=2) if grey else np.ascontiguousarray(pixels[..., :3])
    return Picture(color, alpha, grey, metadata)
