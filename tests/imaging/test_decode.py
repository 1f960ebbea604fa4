"""Reading files that other libraries wrote: every kind of pixel, rotation and colour profile."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from promptsr.imaging import Density, Picture, decode
from tests.imaging.conftest import SRGB, exif_with, file_of, tiff_of, to_srgb

RANDOM = np.random.default_rng(0)
COLOR = RANDOM.integers(0, 256, (6, 5, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (6, 5), dtype=np.uint8)
ALPHA = RANDOM.integers(0, 256, (6, 5), dtype=np.uint8)
PALETTE = Image.fromarray(COLOR).quantize(8)
ONE_BIT = Image.fromarray(GREY).convert("1")

CASES = {
    "png": file_of(COLOR, "PNG"),
    "png alpha": file_of(np.dstack([COLOR, ALPHA]), "PNG"),
    "png grey": file_of(GREY, "PNG"),
    "png grey alpha": file_of(Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(ALPHA)]), "PNG"),
    "png 1 bit": file_of(ONE_BIT, "PNG"),
    "png palette": file_of(PALETTE, "PNG"),
    "png palette transparent": file_of(PALETTE, "PNG", transparency=2),
    "png palette translucent": file_of(PALETTE, "PNG", transparency=bytes([0, 40, 255, 200, 3])),
    "png one colour transparent": file_of(COLOR, "PNG", transparency=tuple(COLOR[2, 3].tolist())),
    "webp": file_of(COLOR, "WEBP", lossless=True),
    "webp alpha": file_of(np.dstack([COLOR, ALPHA]), "WEBP", lossless=True, exact=True),
    "gif": file_of(PALETTE, "GIF"),
    "gif transparent": file_of(PALETTE, "GIF", transparency=2),
    "gif frames": file_of(PALETTE, "GIF", save_all=True, append_images=[Image.new("P", (5, 6))]),
    "tiff": file_of(COLOR, "TIFF"),
    "tiff lzw": file_of(COLOR, "TIFF", compression="tiff_lzw"),
    "tiff grey": file_of(GREY, "TIFF"),
    "tiff 1 bit": file_of(ONE_BIT, "TIFF"),
    "tiff palette": file_of(PALETTE, "TIFF"),
    "tiff alpha": tiff_of(np.dstack([COLOR, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]),
    "tiff pages": tiff_of(np.stack([COLOR, 255 - COLOR]), photometric="rgb"),
    "tiff private tag": tiff_of(COLOR, photometric="rgb", extratags=[(65000, "I", 1, 7, True)]),
}


@pytest.mark.parametrize("name", CASES)
def test_eight_bit_pixels_match_pillow(name: str) -> None:
    with Image.open(io.BytesIO(CASES[name])) as reference:
        grey = reference.mode in ("1", "L", "LA")
        expected = np.asarray(reference.convert("RGBA"))
    picture = decode(CASES[name])
    assert picture.color.dtype == np.uint8 and picture.bit_depth == 8
    assert picture.grey == grey
    np.testing.assert_array_equal(255 if picture.alpha is None else picture.alpha, expected[..., 3])
    # GIF has no colour under its transparent pixels; the other formats do.
    seen = expected[..., 3] > 0 if name.startswith("gif") else ...
    np.testing.assert_array_equal(picture.color[seen], expected[seen][..., :3])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_within_rounding_of_pillow(mode: str) -> None:
    smooth = Image.fromarray(COLOR).resize((64, 48), Image.Resampling.BICUBIC).convert(mode)
    data = file_of(smooth, "JPEG", subsampling=0)
    picture = decode(data)
    assert picture.grey == (mode == "L") and picture.alpha is None
    with Image.open(io.BytesIO(data)) as reference:
        np.testing.assert_allclose(picture.color, np.asarray(reference.convert("RGB")), atol=2)


@pytest.mark.parametrize(("kind", "channels"), [("tiff", 1), ("tiff", 3), ("tiff", 4), ("png", 1)])
def test_sixteen_bits(kind: str, channels: int) -> None:
    pixels = RANDOM.integers(0, 65536, (7, 9, channels), dtype=np.uint16)
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tiff = tiff_of(pixels.squeeze(), photometric="minisblack" if channels == 1 else "rgb", **extra)
    picture = decode(tiff if kind == "tiff" else file_of(pixels[..., 0], "PNG"))
    assert picture.bit_depth == 16 and picture.grey == (channels == 1)
    np.testing.assert_array_equal(picture.color, np.broadcast_to(pixels[..., :3], (7, 9, 3)))
    if channels == 4:
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha, pixels[..., 3])


def test_white_is_zero_tiff() -> None:
    np.testing.assert_array_equal(decode(tiff_of(GREY, photometric="miniswhite")).color[..., 0], 255 - GREY)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_and_reset(orientation: int, kind: str) -> None:
    fidelity: dict[str, Any] = {"WEBP": {"lossless": True}, "JPEG": {"quality": 100, "subsampling": 0}}
    data = file_of(COLOR, kind, exif=exif_with(orientation), **fidelity.get(kind, {}))
    with Image.open(io.BytesIO(data)) as reference:
        expected = np.asarray(ImageOps.exif_transpose(reference))
    picture = decode(data)
    np.testing.assert_allclose(picture.color, expected, atol=3 if kind == "JPEG" else 0)
    assert picture.metadata.exif is not None
    kept = Image.Exif()
    kept.load(picture.metadata.exif)
    assert kept.get(0x0112, 1) == 1 and (0x0112 in kept or kind == "TIFF")
    assert kept[0x010F] == "Maker"
    if kind != "TIFF":  # where Pillow does not write it
        assert kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_changes_in_the_orientation_alone(order: str) -> None:
    def block(orientation: int) -> bytes:
        header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HIH", 42, 8, 3)
        entries = [(0x0100, 3, 1, 6, 0), (0x0112, 3, 1, orientation, 0), (0x0128, 3, 1, 2, 0)]
        return header + b"".join(struct.pack(order + "HHIHH", *entry) for entry in entries) + bytes(4)

    assert decode(file_of(COLOR, "PNG", exif=block(6))).metadata.exif == block(1)


@given(st.binary(max_size=40))
def test_damaged_exif_never_stops_an_image(tail: bytes) -> None:
    picture = decode(file_of(COLOR, "PNG", exif=b"MM\0*" + tail))
    np.testing.assert_array_equal(picture.color, COLOR)


@pytest.mark.parametrize("text", ['tiff:Orientation="6"', "<tiff:Orientation>6</tiff:Orientation>"])
def test_xmp_is_kept_with_its_orientation_reset(text: str) -> None:
    packet = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{text} Rating=6</x:xmpmeta>"
    picture = decode(file_of(COLOR, "WEBP", lossless=True, xmp=packet.encode()))
    assert picture.metadata.xmp == packet.replace(text, text.replace("6", "1")).encode()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_colour_profile_is_kept(kind: str) -> None:
    assert decode(file_of(COLOR, kind, icc_profile=SRGB)).metadata.icc == SRGB


@pytest.mark.parametrize("embedded", [True, False])
def test_cmyk_jpeg_becomes_srgb(embedded: bool) -> None:
    profile = bytes(pyvips.Image.profile_load("cmyk"))
    inks = np.zeros((8, 48, 4), dtype=np.uint8)
    inks.reshape(8, 6, 8, 4)[:] = np.array(  # 8 x 48 x 4 -> 8 x 6 patches x 8 x 4
        [[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 255, 0], [128, 40, 200, 20]]
    )[None, :, None]
    image = Image.fromarray(inks, "CMYK")
    data = file_of(image, "JPEG", quality=100, **({"icc_profile": profile} if embedded else {}))
    picture = decode(data)
    np.testing.assert_allclose(picture.color, to_srgb(image, profile), atol=3)
    assert picture.metadata.icc is None and not picture.grey and picture.alpha is None


def test_a_density_of_zero_is_none() -> None:
    found = decode(tiff_of(COLOR, photometric="rgb", resolution=(10, 10))).metadata.density
    assert found == Density(10 / 25.4, 10 / 25.4)
    assert decode(tiff_of(COLOR, photometric="rgb", resolution=(0, 0))).metadata.density is None


def test_ultra_hdr_photograph_is_read_as_its_jpeg() -> None:
    linear = pyvips.Image.new_from_array(np.full((16, 16, 3), 0.25, dtype=np.float32)).copy(interpretation="scrgb")
    data = linear.uhdrsave_buffer()
    with Image.open(io.BytesIO(data)) as reference:
        np.testing.assert_allclose(decode(data).color, np.asarray(reference.convert("RGB")), atol=2)


def test_to_tensor_spans_zero_to_one() -> None:
    for dtype, peak in ((np.uint8, 255), (np.uint16, 65535)):
        color: np.ndarray = RANDOM.integers(0, peak, (4, 6, 3)).astype(dtype)
        tensor = Picture(color).to_tensor()
        assert tensor.shape == (1, 3, 4, 6) and tensor.is_contiguous()
        np.testing.assert_allclose(tensor[0].permute(1, 2, 0).numpy(), color / peak, rtol=1e-6)


@pytest.mark.parametrize(
    "fields",
    [
        {"color": GREY},
        {"color": COLOR.astype(np.float32)},
        {"color": COLOR, "alpha": ALPHA[:-1]},
        {"color": COLOR, "alpha": ALPHA.astype(np.uint16)},
        {"color": COLOR[:0]},
    ],
)
def test_picture_refuses_arrays_that_do_not_fit(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        Picture(**fields)
