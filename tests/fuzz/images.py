"""Decoders: a damaged image file gives a picture that can be written again, or an `ImageError`."""

import struct
from collections.abc import Callable
from functools import cache, partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyvips
from hypothesis import strategies as st
from PIL import Image

from promptsr.imaging import Density, Metadata, Picture, decode, decode_frames, encode, inspect
from promptsr.support.errors import ImageError
from tests.fuzz.mutations import damaged, repair_png, spliced
from tests.fuzz.target import Target
from tests.imaging.conftest import SRGB, file_of, heic_of
from tests.imaging.test_bombs import bomb, png_chunk

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


def _frames() -> list[Image.Image]:
    return [Image.fromarray(_RANDOM.integers(0, 256, (18, 20, 4), np.uint8, endpoint=False)) for _ in range(3)]


def _pixels(channels: int) -> np.ndarray:
    return np.asarray(_frames()[0])[..., :channels].copy()


def _of_pillow(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    return file_of(_frames()[0].convert(mode), kind, **options)


def _animation(kind: str, mode: str = "RGBA", **options: Any) -> bytes:
    first, *others = (frame.convert(mode) for frame in _frames())
    return file_of(first, kind, save_all=True, append_images=others, duration=[30, 60, 90], loop=2, **options)


def _described(suffix: str) -> bytes:
    """A file with all the metadata that its format holds."""
    block = Image.Exif()
    block[0x010E], block[0x0112] = "a hill", 6
    block.get_ifd(0x8769)[0xA002] = 20
    block.get_ifd(0x8825)[1] = "N"
    metadata = Metadata(
        exif=block.tobytes().removeprefix(b"Exif\0\0"), xmp=_XMP, iptc=b"\x1c\x02\x74\0\5(c)me",
        texts=(("Comment", "by me"), ("Title", "Schloß €"), ("long", "word " * 900)), density=Density(12, 6),
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        path = Path(folder, f"a{suffix}")
        encode(Picture(np.asarray(_frames()[0].convert("RGB")), metadata=metadata), path)
        return path.read_bytes()


def _gamma() -> bytes:
    data = _file("srgb", 3, ".png")
    colour = struct.pack(">8I", 31270, 32900, 70000, 29000, 20000, 79000, 13000, 4000)
    parts = [(b"gAMA", struct.pack(">I", 60000)), (b"cHRM", colour), (b"cICP", bytes([9, 16, 0, 1]))]
    return data[:33] + b"".join(png_chunk(*part) for part in parts) + data[33:]


_MORE: dict[str, Callable[[], list[bytes]]] = {
    "bmp": lambda: [_of_pillow("BMP", mode) for mode in ("RGB", "RGBA", "P", "L", "1")],
    "avif": lambda: [_of_pillow("AVIF"), _of_pillow("AVIF", "RGBA"), _of_pillow("AVIF", exif=_EXIF[6:])],
    "heic": lambda: [
        heic_of(_pixels(3)), heic_of(_pixels(4), "RGBA"), heic_of(_pixels(1), "L", exif=_EXIF, xmp=_XMP),
        heic_of(_pixels(3), icc_profile=SRGB), heic_of(_pixels(3), tile_size=16, color_primaries=12),
    ],
    "ppm": lambda: [
        *(_of_pillow("PPM", mode) for mode in ("RGB", "L", "1")),
        b"P1\n# x\n3 2\n1 0 1\n010", b"P2 3 1 15\n0 7 15", b"P3 1 1 255\n255 0 9\n", b"P5 2 1 1023\n\3\xff\0\0",
        b"P7\nWIDTH 1\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(8),
    ],
    "tga": lambda: [_of_pillow("TGA", mode, compression=how) for mode in ("RGB", "P") for how in (None, "tga_rle")],
    "apng": lambda: [
        *(_animation("PNG", disposal=disposal, blend=1) for disposal in (0, 1, 2)), _animation("PNG", "P"),
    ],
    "frames": lambda: [
        _animation("GIF"), _animation("WEBP"), _animation("WEBP", lossless=True), _animation("TIFF", "RGB"),
        _animation("TIFF", "RGB", compression="tiff_lzw"),
    ],
    "described": lambda: [
        *map(_described, (".png", ".jpg", ".webp", ".tif")), _gamma(), _animation("GIF", comment="by me"),
    ],
}  # fmt: skip
"""Files of other formats, of several frames, and with metadata of every kind."""


@cache
def _more(kind: str) -> list[bytes]:
    return _MORE[kind]()


def check(source: bytes | Path, folder: Path) -> None:
    """The picture is within the limit and that of its header, its metadata can be written, and it comes back."""
    header = inspect(source)
    picture = decode(source, max_pixels=MAX_PIXELS)
    assert 1 <= picture.height * picture.width <= MAX_PIXELS
    assert (header.width, header.height, header.bit_depth) == (picture.width, picture.height, picture.bit_depth)
    assert (header.grey, header.alpha) == (picture.grey, picture.alpha is not None)
    for suffix in (".tif", ".jpg", ".webp", ".png"):
        path = folder / f"again{suffix}"
        encode(picture, path)
        again = decode(path)
    np.testing.assert_array_equal(again.color, picture.color)
    np.testing.assert_equal(again.alpha, picture.alpha)
    assert again.grey == picture.grey
    assert again.metadata.exif == picture.metadata.exif or picture.metadata.exif is not None
    for each in islice(decode_frames(source, max_pixels=MAX_PIXELS), 20):
        assert header.frames > 0 and 1 <= each.height * each.width <= MAX_PIXELS


def _damaged(kind: str) -> st.SearchStrategy[bytes]:
    files = _files(kind) if kind in _KINDS else _more(kind)
    return damaged(files, repair_png if kind in ("png", "apng", "described") else None)


def _spliced() -> st.SearchStrategy[bytes]:
    files = [*(data for kind in _KINDS for data in _files(kind)), *(data for kind in _MORE for data in _more(kind))]
    return spliced(files) | st.binary(max_size=300)


TARGETS = [
    *(Target(f"decode-{kind}", partial(_damaged, kind), check, ImageError, quick=60) for kind in _KINDS),
    *(
        Target(f"decode-{kind}", partial(_damaged, kind), check, ImageError, 25, ".tga" if kind == "tga" else "")
        for kind in _MORE
    ),
    Target("decode-spliced", _spliced, check, ImageError, quick=60),
]
