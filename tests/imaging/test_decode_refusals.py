"""Files that must not be read: each with its own message, early, and never as wrong pixels."""

from pathlib import Path

import numpy as np
import pytest

from promptsr.imaging import decode
from promptsr.support.errors import ImageError
from tests.imaging.conftest import file_of, tiff_of

NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
FORMATS = {
    "png": file_of(NOISE, "PNG"),
    "jpeg": file_of(NOISE, "JPEG"),
    "progressive jpeg": file_of(NOISE, "JPEG", progressive=True),
    "webp": file_of(NOISE, "WEBP"),
    "gif": file_of(NOISE, "GIF"),
    "tiff": file_of(NOISE, "TIFF"),
    "tiff deflate": file_of(NOISE, "TIFF", compression="tiff_deflate"),
    "tiff lzw": file_of(NOISE, "TIFF", compression="tiff_lzw"),
}


def test_the_cap_is_on_pixels_and_exact() -> None:
    assert decode(FORMATS["png"], max_pixels=64 * 64).width == 64
    with pytest.raises(ImageError, match="64 x 64 pixels"):
        decode(FORMATS["png"], max_pixels=64 * 64 - 1)


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


def test_paths_without_a_file_behind(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    for path, reason in (
        (tmp_path / "nowhere.png", r"nowhere.png cannot be opened \(No such file"),
        (tmp_path, r"cannot be opened \(Is a directory"),
        (tmp_path / ("x" * 300), r"cannot be opened \(File name too long"),
        (tmp_path / "empty.png", r"empty.png is empty \(0 bytes\)"),
        (b"", r"The image is empty \(0 bytes\)"),
    ):
        with pytest.raises(ImageError, match=reason):
            decode(path)


@pytest.mark.parametrize("dtype", ["float32", "uint32", "int16", "int8"])
def test_pixels_beyond_sixteen_bits_are_refused(dtype: str) -> None:
    with pytest.raises(ImageError, match="export it with 8 or 16 bits per channel"):
        decode(tiff_of(np.zeros((6, 5), dtype=dtype), photometric="minisblack"))


def test_many_channels_are_refused() -> None:
    with pytest.raises(ImageError, match="5 channels"):
        decode(tiff_of(np.zeros((6, 5, 5), dtype=np.uint8), photometric="minisblack", planarconfig="contig"))


def test_a_message_with_bytes_of_the_file_is_a_refusal_like_others() -> None:
    data = bytearray(file_of(NOISE, "AVIF"))
    at = data.index(b"av01")
    for text in (b"\xff\xfe\xfd\xfc", b"av0\xff"):
        data[at : at + 4] = text
        with pytest.raises(ImageError, match=r"damaged or incomplete"):
            decode(bytes(data))
    with pytest.raises(ImageError, match="damaged or incomplete"):  # nor does it stay for later ones
        decode(FORMATS["png"][:200])
