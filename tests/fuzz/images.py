"""Decoders: a damaged image file gives a picture that can be written again, or an `ImageError`."""

import struct
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyvips
from hypothesis import strategies as st

from promptsr.imaging import decode, encode
from promptsr.support.errors import ImageError
from tests.fuzz.mutations import damaged, repair_png, spliced
from tests.fuzz.target import Target
from tests.imaging.test_bombs import bomb

MAX_PIXELS = 2**16
_RANDOM = np.random.default_rng(0)
_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
_XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"

# Kind of the pixels and number of channels: suffixes by which libvips writes them.
_WRITTEN = {
    ("srgb", 3): """
        .png .png[interlace] .jpg .jpg[interlace,subsample_mode=off] .jpg[profile=srgb] .webp
        .webp[lossless,profile=srgb] .tif .tif[compression=deflate,predictor=horizontal]
        .tif[compression=lzw,predictor=horizontal] .tif[compression=jpeg] .tif[compression=webp] .gif""",
    ("srgb", 4): """
        .png[palette] .webp .webp[lossless] .tif[tile,tile_width=16,tile_height=16] .gif[interlace,bitdepth=4]""",
    ("rgb16", 3): ".tif[bigtiff]",
    ("rgb16", 4): ".png .tif[compression=lzw,tile,tile_width=16,tile_height=16]",
    ("grey16", 1): ".png[interlace]",
    ("b-w", 1): """
        .png[bitdepth=1] .jpg[restart_interval=1] .tif[compression=packbits] .tif[bitdepth=4,miniswhite]
        .tif[bitdepth=1,compression=ccittfax4]""",
    ("b-w", 2): ".png[profile=sgrey]",
    ("cmyk", 4): ".jpg .jpg[interlace,profile=cmyk] .tif[profile=cmyk]",
    ("lab", 3): ".tif",
}
_KINDS = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "gif": ".gif"}


@cache
def _files(kind: str) -> list[bytes]:
    """Valid files of a format, 20 x 18 pixels, with EXIF and XMP where the format holds them, and small bombs."""
    return [
        _file(interpretation, channels, suffix)
        for (interpretation, channels), suffixes in _WRITTEN.items()
        for suffix in suffixes.split()
        if suffix.startswith(_KINDS[kind])
    ] + _bombs(kind)


def _file(interpretation: str, channels: int, suffix: str) -> bytes:
    dtype = np.uint16 if interpretation.endswith("16") else np.uint8
    pixels = _RANDOM.integers(0, np.iinfo(dtype).max, (18, 20, channels), dtype, endpoint=True)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)
    if not suffix.startswith(".gif"):
        image.set_type(pyvips.GValue.blob_type, "exif-data", _EXIF)
        image.set_type(pyvips.GValue.blob_type, "xmp-data", _XMP)
    data: bytes = image.write_to_buffer(suffix)
    return data


def _bombs(kind: str) -> list[bytes]:
    """Small files that ask for much memory."""
    if kind == "png":
        return [bomb("profile"), bomb("text")]
    if kind != "tiff":
        return []
    small = ((256, 16), (257, 16), (258, 8), (262, 1), (277, 1))  # 16 x 16 pixels, grey, 8 bit
    return [
        _tiff(*small, (259, 8), (322, 65520), (323, 65520), (324, 8), (325, 9)),  # one tile, deflated
        _tiff(*small, (259, 1), (273, 8), (278, 2**31), (279, 2**31)),  # one strip
    ]


def _tiff(*tags: tuple[int, int]) -> bytes:
    """A TIFF of 32-bit tags and no pixels."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(68)


def check(data: bytes, folder: Path) -> None:
    """The picture is within the limit, its metadata can be written, and its pixels come back from a PNG."""
    picture = decode(data, max_pixels=MAX_PIXELS)
    assert 1 <= picture.height * picture.width <= MAX_PIXELS
    assert np.isfinite(picture.metadata.density) and picture.metadata.density > 0
    path = folder / "again.png"
    encode(picture, path)
    again = decode(path)
    np.testing.assert_array_equal(again.color, picture.color)
    np.testing.assert_equal(again.alpha, picture.alpha)
    assert again.grey == picture.grey


def _damaged(kind: str) -> st.SearchStrategy[bytes]:
    return damaged(_files(kind), repair_png if kind == "png" else None)


def _spliced() -> st.SearchStrategy[bytes]:
    return spliced([data for kind in _KINDS for data in _files(kind)]) | st.binary(max_size=300)


TARGETS = [
    *(Target(f"decode-{kind}", partial(_damaged, kind), check, ImageError, quick=60) for kind in _KINDS),
    Target("decode-spliced", _spliced, check, ImageError, quick=60),
]
