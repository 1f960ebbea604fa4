"""HEIC as phones write it, against the pixels it was made from; colours by code points against those of a PNG."""

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms, ImageOps

from promptsr.imaging import decode, encode, inspect
from promptsr.support.errors import ImageError
from tests.imaging.conftest import SRGB, exif_with, file_of, heic_of
from tests.imaging.test_metadata import png_with

NOISE = np.random.default_rng(0).integers(0, 256, (32, 40, 4), dtype=np.uint8)
COLOR = NOISE[..., :3].copy()
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="{}" dc:title="hill"/></x:xmpmeta>'


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
def test_every_pixel_comes(mode: str, channels: int, tmp_path: Path) -> None:
    pixels = NOISE[..., :channels].copy()
    path = tmp_path / "IMG_0001.HEIC"
    path.write_bytes(heic_of(pixels, mode))
    picture, header = decode(path), inspect(path)
    assert (header.format, header.width, header.height, header.bit_depth) == ("HEIC", 40, 32, 8)
    assert (header.grey, header.alpha) == (picture.grey, picture.alpha is not None) == (channels == 1, channels == 4)
    np.testing.assert_array_equal(picture.color, np.broadcast_to(pixels[..., :3], (32, 40, 3)))
    if picture.alpha is not None:
        np.testing.assert_array_equal(picture.alpha, pixels[..., 3])


@pytest.mark.parametrize(("mode", "channels"), [("I;16", 1), ("RGB;16", 3), ("RGBA;16", 4)])
def test_ten_bits_use_the_full_range(mode: str, channels: int) -> None:
    levels = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    pixels = np.dstack([levels, levels[::-1], levels.T, levels])[..., :channels].copy()
    data = heic_of(pixels << 6, mode)
    expected = np.broadcast_to(pixels[..., :3] * (65535 / 1023), (32, 32, 3))
    picture = decode(data)
    assert inspect(data).bit_depth == picture.bit_depth == 16
    # Repeated bits are at most one of 65535 levels away from the exact ratio.
    np.testing.assert_allclose(picture.color, expected, rtol=0, atol=1)
    assert (picture.color.min(), picture.color.max()) == (0, 65535)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phone_that_was_held_otherwise(orientation: int) -> None:
    """The boxes of the file turn the picture; what EXIF and XMP say of it is done already."""
    data = heic_of(COLOR, exif=exif_with(orientation).tobytes(), xmp=XMP.format(orientation).encode())
    assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    image = Image.fromarray(COLOR)
    image.getexif()[0x0112] = orientation
    picture, header = decode(data), inspect(data)
    np.testing.assert_array_equal(picture.color, np.asarray(ImageOps.exif_transpose(image)))
    assert (header.height, header.width) == picture.color.shape[:2]
    kept = Image.Exif()
    kept.load(picture.metadata.exif or b"")
    assert (kept[0x010F], kept[0x0112]) == ("Maker", 1)
    assert kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
    assert picture.metadata.xmp == XMP.format(1).encode()


def test_phones_write_a_grid_of_tiles() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    data = heic_of(pixels, tile_size=64)
    assert b"grid" in data
    np.testing.assert_array_equal(decode(data).color, pixels)


def test_its_profile_is_kept(tmp_path: Path) -> None:
    data = heic_of(COLOR, icc_profile=SRGB)
    assert decode(data).metadata.icc == SRGB
    encode(decode(data), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["icc_profile"] == SRGB
        assert ImageCms.getProfileName(io.BytesIO(image.info["icc_profile"]))
        np.testing.assert_array_equal(np.asarray(image), COLOR)


def coded_heic(primaries: int, transfer: int) -> bytes:
    return heic_of(COLOR, color_primaries=primaries, transfer_characteristics=transfer)


def coded_avif(primaries: int, transfer: int) -> bytes:
    """An AVIF by Pillow, whose box of colours is overwritten."""
    data = bytearray(file_of(COLOR, "AVIF", quality=100, subsampling="4:4:4"))
    assert data.count(b"nclx") == 1
    struct.pack_into(">HH", data, data.index(b"nclx") + 4, primaries, transfer)
    return bytes(data)


@pytest.mark.parametrize("kind", [coded_heic, coded_avif])
@pytest.mark.parametrize(("primaries", "transfer"), [(12, 13), (9, 16), (9, 18), (1, 8)])
def test_colours_by_code_points(kind: Callable[[int, int], bytes], primaries: int, transfer: int) -> None:
    plain = decode(kind(1, 13))
    assert plain.metadata.notes == ()
    code_points = (b"cICP", bytes([primaries, transfer, 0, 1]))
    found, reference = decode(kind(primaries, transfer)), decode(png_with(code_points, pixels=plain.color))
    np.testing.assert_array_equal(found.color, reference.color)
    assert not np.array_equal(found.color, plain.color)
    assert [note.replace("nclx", "cICP") for note in found.metadata.notes] == list(reference.metadata.notes)


@pytest.mark.parametrize("kind", [coded_heic, coded_avif])
@pytest.mark.parametrize(("primaries", "transfer"), [(1, 1), (2, 2), (1, 6)])
def test_names_of_video_mean_srgb(kind: Callable[[int, int], bytes], primaries: int, transfer: int) -> None:
    found = decode(kind(primaries, transfer))
    np.testing.assert_array_equal(found.color, decode(kind(1, 13)).color)
    assert found.metadata.notes == ()


def test_a_profile_goes_before_code_points() -> None:
    data = heic_of(COLOR, icc_profile=SRGB, color_primaries=12, transfer_characteristics=13)
    np.testing.assert_array_equal(decode(data).color, COLOR)


def test_of_several_pictures_the_primary_one() -> None:
    other = COLOR[::-1].copy()
    file = pillow_heif.HeifFile()
    for pixels in (other, COLOR):
        file.add_frombytes("RGB", (40, 32), pixels.tobytes())
    buffer = io.BytesIO()
    file.save(buffer, quality=-1, chroma=444, matrix_coefficients=0, primary_index=1)
    np.testing.assert_array_equal(decode(buffer.getvalue()).color, COLOR)


def test_a_damaged_one_is_refused() -> None:
    data = heic_of(COLOR)
    for size in range(12, len(data), 97):
        with pytest.raises(ImageError, match="HEIC image that is damaged or of a rare kind; export it again"):
            decode(data[:size])
