"""Files that must not be read: each with a sentence of its own, early, and never as wrong pixels."""

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from promptsr.imaging import decode
from promptsr.support.errors import ImageError

RANDOM = np.random.default_rng(0)


def noise_file(kind: str, **options: str | bool) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_the_cap_is_on_pixels_and_exact() -> None:
    assert decode(noise_file("PNG"), max_pixels=64 * 64).width == 64
    with pytest.raises(ImageError, match="64 x 64 pixels"):
        decode(noise_file("PNG"), max_pixels=64 * 64 - 1)


FORMATS = {
    "png": noise_file("PNG"),
    "jpeg": noise_file("JPEG"),
    "progressive jpeg": noise_file("JPEG", progressive=True),
    "webp": noise_file("WEBP"),
    "gif": noise_file("GIF"),
    "tiff": noise_file("TIFF"),
    "tiff deflate": noise_file("TIFF", compression="tiff_deflate"),
    "tiff lzw": noise_file("TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_refused(name: str) -> None:
    data = FORMATS[name]
    assert decode(data).width == 64
    for part in np.linspace(0.05, 0.97, 24):
        with pytest.raises(ImageError, match=r"damaged or incomplete|not an image we read"):
            decode(data[: int(len(data) * part)])


@pytest.mark.parametrize("name", ["png", "tiff deflate"])  # the formats with a checksum over the pixels
def test_flipped_bytes_are_refused(name: str) -> None:
    for at in np.linspace(0.2, 0.8, 12):
        data = bytearray(FORMATS[name])
        data[int(len(data) * at)] ^= 0x55
        with pytest.raises(ImageError, match="damaged or incomplete"):
            decode(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"Not a picture, only words.\n" * 9,
        b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
        b"%PDF-1.4\n1 0 obj\n",
        b"P6\n2 2\n255\n" + bytes(12),
        noise_file("BMP"),
    ],
    ids=["text", "svg", "pdf", "ppm", "bmp"],
)
def test_other_files_are_refused_whatever_their_name(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(
        ImageError, match=r"^picture.png is not an image we read; convert it to PNG, JPEG, WebP or TIFF"
    ):
        decode(path)


def test_paths_without_a_file_behind(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    with pytest.raises(ImageError, match="does not exist"):
        decode(tmp_path / "nowhere.png")
    with pytest.raises(ImageError, match="is a folder"):
        decode(tmp_path)
    with pytest.raises(ImageError, match=r"empty.png is empty \(0 bytes\)"):
        decode(empty)
    with pytest.raises(ImageError, match=r"The image is empty \(0 bytes\)"):
        decode(b"")
    with pytest.raises(ImageError, match=r"cannot be opened .*too long"):
        decode(tmp_path / ("x" * 300))


@pytest.mark.parametrize("dtype", ["float32", "uint32", "int16", "int8"])
def test_pixels_beyond_sixteen_bits_are_refused(dtype: str) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((6, 5), dtype=dtype), photometric="minisblack")
    with pytest.raises(ImageError, match="export it with 8 or 16 bits per channel"):
        decode(buffer.getvalue())


def test_many_channels_are_refused() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((6, 5, 5), dtype=np.uint8), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ImageError, match="5 channels"):
        decode(buffer.getvalue())
