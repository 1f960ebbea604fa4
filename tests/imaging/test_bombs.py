"""Decompression bombs, and files that other decoders of libvips would read."""

import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from promptsr.imaging import decode
from promptsr.support.errors import ImageError
from tests.imaging.conftest import file_of, heic_of

_BOMB = 256 * 2**20
"""Bytes that a compressed part of a file unpacks to."""
_ROOM = 64 * 2**20
"""Bytes that reading the file may take beyond what the program has."""


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def huge_gif() -> bytes:
    screen = struct.pack("<HHBBB", 60000, 60000, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 60000, 60000, 0) + b"\x02\x02D\x01\0"
    return b"GIF89a" + screen + frame + b";"


def huge_tiff() -> bytes:
    tags = [(256, 60000), (257, 60000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 60000), (279, 2**31)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def huge_jpeg() -> bytes:
    """A JPEG whose frame header says 65000 x 65000."""
    data = bytearray(file_of(Image.new("RGB", (8, 8)), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    return bytes(data)


def huge_webp() -> bytes:
    """A lossless WebP whose header says 16383 x 16383, the most that there is."""
    data = bytearray(file_of(Image.new("RGB", (8, 8)), "WEBP", lossless=True))
    start = data.index(b"VP8L") + 9  # behind the chunk's name, its size, and the signature
    (packed,) = struct.unpack_from("<I", data, start)
    struct.pack_into("<I", data, start, packed & 0xF0000000 | 16382 << 14 | 16382)  # 14 bits for each side, less 1
    return bytes(data)


def huge_bmp() -> bytes:
    data = bytearray(file_of(Image.new("RGB", (8, 8)), "BMP"))
    data[18:26] = struct.pack("<ii", 60000, 60000)
    return bytes(data)


def huge_avif() -> bytes:
    """An AVIF whose property for the size of the image says 60000 x 60000."""
    data = bytearray(file_of(Image.new("RGB", (8, 8)), "AVIF"))
    size = data.index(b"ispe") + 8
    data[size : size + 8] = struct.pack(">II", 60000, 60000)
    return bytes(data)


def huge_heic() -> bytes:
    """A HEIC whose property for the size of the image says 60000 x 60000."""
    data = bytearray(heic_of(np.zeros((64, 64, 3), np.uint8)))
    size = data.index(b"ispe") + 8
    data[size : size + 8] = struct.pack(">II", 60000, 60000)
    return bytes(data)


HUGE = {"png": huge_png(), "jpeg": huge_jpeg(), "webp": huge_webp(), "tiff": huge_tiff(), "gif": huge_gif()}
HUGE |= {"bmp": huge_bmp(), "ppm": b"P6 60000 60000 255\n", "avif": huge_avif(), "heic": huge_heic()}


@pytest.mark.parametrize("kind", HUGE)
def test_what_its_header_calls_huge_is_refused(kind: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = tmp_path / "huge.png"
    path.write_bytes(HUGE[kind])
    with pytest.raises(
        ImageError, match=r"^huge.png has .* megapixels\), more than the limit of 67.1 megapixels; crop"
    ):
        decode(path, max_pixels=64 * 2**20)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < _ROOM


def bomb(part: str) -> bytes:
    """A PNG of 4 x 4 pixels, in which a part unpacks to `_BOMB` bytes."""
    packed = zlib.compress(bytes(_BOMB), 9)
    parts = {
        "profile": png_chunk(b"iCCP", b"x\0\0" + packed),
        "text": png_chunk(b"zTXt", b"x\0\0" + packed),
        "XMP": png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed),
        "pixels": png_chunk(b"IDAT", packed),
    }
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    pixels = b"" if part == "pixels" else png_chunk(b"IDAT", zlib.compress(bytes(4 * 13)))
    return b"\x89PNG\r\n\x1a\n" + header + parts[part] + pixels + png_chunk(b"IEND", b"")


def test_what_is_packed_in_a_small_image_takes_no_memory(tmp_path: Path) -> None:
    """In a process of its own, whose memory nothing else has used."""
    for part in ("profile", "text", "XMP", "pixels"):
        (tmp_path / f"{part}.png").write_bytes(bomb(part))
        assert (tmp_path / f"{part}.png").stat().st_size < 2**20
    program = """
import resource, sys
from pathlib import Path
from promptsr.imaging import decode
for path in sorted(Path(sys.argv[1]).iterdir()):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    picture = decode(path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(path.stem, picture.color.sum(), grown * 1024)
"""
    found = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=True)
    rows = [line.split() for line in found.stdout.splitlines()]
    assert [row[0] for row in rows] == ["XMP", "pixels", "profile", "text"]
    assert all(int(row[1]) == 0 and int(row[2]) < _ROOM for row in rows)


FOREIGN = {
    "fits": b"SIMPLE  =                    T" + b" " * 50 + b"BITPIX  =                    8".ljust(80),
    "hdr": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(16),
    "exr": b"\x76\x2f\x31\x01\x02\0\0\0",
    "vips": b"\xb6\xa6\xf2\x08" + bytes(60),
    "vips swapped": b"\x08\xf2\xa6\xb6" + bytes(60),
    "jpeg xl": b"\xff\x0a" + bytes(30),
    "jpeg 2000": b"\xff\x4f\xff\x51" + bytes(40),
    "photoshop": b"8BPS\0\1" + bytes(30),
    "matlab": b"MATLAB 5.0 MAT-file" + bytes(120),
    "nifti": b"\x5c\x01\0\0" + bytes(344),
    "imagemagick": b"push graphic-context\nimage over 0,0 0,0 'https://192.0.2.1/x'\n",
    "csv": b"1,2,3\n4,5,6\n",
    "text": b"Not a picture, only words.\n" * 9,
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "pdf": b"%PDF-1.4\n1 0 obj\n",
    "pfm": b"PF\n2 2\n-1.0\n" + bytes(48),
    "pcx": file_of(Image.new("RGB", (8, 8)), "PCX"),
    "icon": file_of(Image.new("RGB", (16, 16)), "ICO"),
    "tga": file_of(Image.new("RGB", (8, 8)), "TGA"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_rare_decoders_are_never_asked(kind: str, tmp_path: Path) -> None:
    for suffix in (".png", ".v", ".csv", ".fits"):
        path = tmp_path / f"picture{suffix}"
        path.write_bytes(FOREIGN[kind])
        with pytest.raises(ImageError, match=rf"^{path.name} is not an image we read; convert it to PNG, JPEG, WebP"):
            decode(path)
