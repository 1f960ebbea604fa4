"""Decoders: a damaged image file gives a picture that can be written again, or an `ImageError`."""

import struct
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import pyvips
from hypothesis import strategies as st

from promptsr.imaging import decode, encode
from promptsr.support.errors import ImageError
from tests.fuzz.mutations import damaged, repair_png, spliced
from tests.fuzz.target import Target

MAX_PIXELS = 2**16
_RANDOM = np.random.default_rng(0)
_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
_XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>"

# By format: kind of the pixels, channels, depth, and how libvips writes them.
_WRITTEN = {
    "png": [
        ("srgb", 3, 8, ".png"),
        ("srgb", 4, 8, ".png[palette]"),
        ("srgb", 3, 8, ".png[interlace]"),
        ("rgb16", 4, 16, ".png"),
        ("grey16", 1, 16, ".png[interlace]"),
        ("b-w", 1, 8, ".png[bitdepth=1]"),
        ("b-w", 2, 8, ".png[profile=sgrey]"),
    ],
    "jpeg": [
        ("srgb", 3, 8, ".jpg"),
        ("srgb", 3, 8, ".jpg[interlace,subsample_mode=off]"),
        ("cmyk", 4, 8, ".jpg"),
        ("cmyk", 4, 8, ".jpg[interlace,profile=cmyk]"),
        ("b-w", 1, 8, ".jpg[restart_interval=1]"),
        ("srgb", 3, 8, ".jpg[profile=srgb]"),
    ],
    "webp": [
        ("srgb", 3, 8, ".webp"),
        ("srgb", 4, 8, ".webp"),
        ("srgb", 4, 8, ".webp[lossless]"),
        ("srgb", 3, 8, ".webp[lossless,profile=srgb]"),
    ],
    "tiff": [
        ("srgb", 3, 8, ".tif"),
        ("srgb", 4, 8, ".tif[tile,tile_width=16,tile_height=16]"),
        ("srgb", 3, 8, ".tif[compression=deflate,predictor=horizontal]"),
        ("srgb", 3, 8, ".tif[compression=lzw,predictor=horizontal]"),
        ("rgb16", 4, 16, ".tif[compression=lzw,tile,tile_width=16,tile_height=16]"),
        ("rgb16", 3, 16, ".tif[bigtiff]"),
        ("srgb", 3, 8, ".tif[compression=jpeg]"),
        ("srgb", 3, 8, ".tif[compression=webp]"),
        ("b-w", 1, 8, ".tif[compression=packbits]"),
        ("b-w", 1, 8, ".tif[bitdepth=1,compression=ccittfax4]"),
        ("b-w", 1, 8, ".tif[bitdepth=4,miniswhite]"),
        ("cmyk", 4, 8, ".tif[profile=cmyk]"),
        ("lab", 3, 8, ".tif"),
    ],
    "gif": [("srgb", 3, 8, ".gif"), ("srgb", 4, 8, ".gif[interlace,bitdepth=4]")],
}


@cache
def files(kind: str) -> list[bytes]:
    """Sound files of a format, 20 x 18 pixels, with EXIF and XMP where the format holds them."""
    return [_file(*written) for written in _WRITTEN[kind]] + _BY_HAND.get(kind, [])


def _file(interpretation: str, channels: int, depth: int, suffix: str) -> bytes:
    dtype = np.uint8 if depth == 8 else np.uint16
    pixels = _RANDOM.integers(0, 2**depth, (18, 20, channels), dtype=dtype)
    image = pyvips.Image.new_from_array(pixels).copy(interpretation=interpretation)
    if not suffix.startswith(".gif"):
        image.set_type(pyvips.GValue.blob_type, "exif-data", _EXIF)
        image.set_type(pyvips.GValue.blob_type, "xmp-data", _XMP)
    data: bytes = image.write_to_buffer(suffix)
    return data


def _tiff(*tags: tuple[int, int]) -> bytes:
    """A TIFF of 32-bit tags and no pixels."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(68)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _inflating_png() -> bytes:
    """A PNG of one pixel whose colour profile and text unpack to 64 MiB each."""
    zeros = zlib.compress(bytes(2**26), 9)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    profile = _chunk(b"iCCP", b"p\0\0" + zeros)
    text = _chunk(b"zTXt", b"Comment\0\0" + zeros)
    return (
        b"\x89PNG\r\n\x1a\n" + header + profile + text + _chunk(b"IDAT", zlib.compress(bytes(2))) + _chunk(b"IEND", b"")
    )


_SMALL = ((256, 16), (257, 16), (258, 8), (262, 1), (277, 1))
"""16 x 16 pixels, grey, 8 bit."""

# Small files that ask for much memory.
_BY_HAND = {
    "png": [_inflating_png()],
    "tiff": [
        _tiff(*_SMALL, (259, 8), (322, 65520), (323, 65520), (324, 8), (325, 9)),  # one tile, deflated
        _tiff(*_SMALL, (259, 1), (273, 8), (278, 2**31), (279, 2**31)),  # one strip
    ],
}


def check(data: bytes, folder: Path) -> None:
    """A picture within the limit, whose metadata can be written and whose pixels come back from a PNG."""
    picture = decode(data, max_pixels=MAX_PIXELS)
    assert 1 <= picture.height * picture.width <= MAX_PIXELS
    assert np.isfinite(picture.metadata.density) and picture.metadata.density > 0
    path = folder / "again.png"
    encode(picture, path)
    again = decode(path)
    np.testing.assert_array_equal(again.color, picture.color)
    np.testing.assert_array_equal(again.alpha is None, picture.alpha is None)
    if picture.alpha is not None and again.alpha is not None:
        np.testing.assert_array_equal(again.alpha, picture.alpha)
    assert again.grey == picture.grey


def _target(kind: str) -> Target:
    repair = repair_png if kind == "png" else None
    return Target(f"decode-{kind}", st.deferred(lambda: damaged(files(kind), repair)), check, ImageError, quick=60)


def _any_files() -> st.SearchStrategy[bytes]:
    return spliced([data for kind in _WRITTEN for data in files(kind)]) | st.binary(max_size=300)


TARGETS = [*map(_target, _WRITTEN), Target("decode-spliced", st.deferred(_any_files), check, ImageError, quick=60)]
