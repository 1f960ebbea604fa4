"""Writing files: round trips, and the written bytes as other libraries see them."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from promptsr.imaging import SUFFIXES, Density, Metadata, Picture, decode, encode
from promptsr.support.errors import ConfigError, ImageError, UserError
from tests.imaging.conftest import SRGB, exif_with, random_picture, to_srgb

XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>"
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def grey_profile(gamma: float) -> bytes:
    """A minimal ICC 2.4 grey display profile (ICC.1:2001-04, section 6.3.1.1)."""

    def xyz(*values: float) -> bytes:
        return struct.pack(">3i", *(round(value * 65536) for value in values))

    white = xyz(0.9642, 1, 0.8249)
    description = b"desc" + bytes(4) + struct.pack(">I", 5) + b"grey\0" + bytes(8 + 3 + 67 + 1)
    curve = b"curv" + bytes(4) + struct.pack(">IHH", 1, round(gamma * 256), 0)
    tags = {
        b"desc": description,
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": b"XYZ \0\0\0\0" + white,
        b"kTRC": curve,
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data
    kinds = b"mntrGRAYXYZ " + bytes(12) + b"acsp" + bytes(28)
    header = struct.pack(">I4sI", 128 + len(table) + len(body), b"none", 0x02400000) + kinds + white
    return header.ljust(128, b"\0") + table + body


PICTURES = st.builds(
    random_picture,
    *(st.integers(1, 40), st.integers(1, 40), st.sampled_from([np.uint8, np.uint16])),
    alpha=st.booleans(),
    grey=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


def round_trip(picture: Picture, path: Path, **options: int) -> Picture:
    """The picture as it is read back; writing it again gives the same bytes."""
    encode(picture, path, **options)
    written = path.read_bytes()
    encode(picture, path, **options)
    assert path.read_bytes() == written
    return decode(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@same_folder
@given(picture=PICTURES)
def test_lossless_round_trip(tmp_path: Path, suffix: str, picture: Picture) -> None:
    back = round_trip(picture, tmp_path / f"picture{suffix}")
    assert back.color.dtype == picture.color.dtype and back.grey == picture.grey
    np.testing.assert_array_equal(back.color, picture.color)
    assert (back.alpha is None) == (picture.alpha is None)
    if picture.alpha is not None:
        np.testing.assert_array_equal(back.alpha, picture.alpha)


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".webp"])
@same_folder
@given(picture=PICTURES)
def test_lossy_files_keep_size_and_meaning(tmp_path: Path, suffix: str, picture: Picture) -> None:
    back = round_trip(picture, tmp_path / f"picture{suffix}", quality=100)
    assert back.color.shape == picture.color.shape and back.bit_depth == 8
    assert back.grey == (picture.grey and suffix != ".webp")
    assert (back.alpha is not None) <= (suffix == ".webp" and picture.alpha is not None)
    if suffix == ".webp" and picture.alpha is not None:  # WebP drops a channel that is opaque throughout
        expected = picture.alpha if picture.bit_depth == 8 else np.round(picture.alpha / 257.0)
        np.testing.assert_array_equal(255 if back.alpha is None else back.alpha, expected)


def gradient() -> np.ndarray:
    rows, columns = np.mgrid[0:96, 0:128]
    return np.dstack([rows * 2, columns * 2 - 1, 200 - rows]).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_quality_is_obeyed(tmp_path: Path, suffix: str) -> None:
    color = (gradient() + np.random.default_rng(0).normal(0, 8, (96, 128, 3))).clip(0, 255).astype(np.uint8)
    fidelity = []
    sizes = []
    for quality in (30, 60, 95):
        encode(Picture(color), tmp_path / f"a{suffix}", quality=quality)
        fidelity.append(peak_signal_noise_ratio(color, decode(tmp_path / f"a{suffix}").color))
        sizes.append((tmp_path / f"a{suffix}").stat().st_size)
    assert sizes == sorted(set(sizes))
    assert fidelity[2] > fidelity[0] + 1 and fidelity[2] > 30
    for quality in (0, 101):
        with pytest.raises(ConfigError, match="between 1 and 100"):
            encode(Picture(color), tmp_path / f"b{suffix}", quality=quality)


def test_jpeg_keeps_full_colour_resolution(tmp_path: Path) -> None:
    encode(Picture(gradient()), tmp_path / "a.jpg", quality=80)
    with Image.open(tmp_path / "a.jpg") as image:
        assert [layer[1:3] for layer in getattr(image, "layer")] == [(1, 1)] * 3  # noqa: B009 (sampling factors)


@pytest.mark.parametrize("peak", [255, 65535])
def test_jpeg_lays_transparency_over_white(tmp_path: Path, peak: int) -> None:
    dtype: Any = np.uint8 if peak == 255 else np.uint16
    color = np.full((32, 64, 3), peak // 36, dtype=dtype)
    steps = np.linspace(0, peak, 8).astype(dtype)  # one for each column of 8 x 8 blocks, which are flat therefore
    alpha = steps.repeat(8)[None].repeat(32, axis=0)
    for grey in (True, False):
        encode(Picture(color, alpha, grey), tmp_path / "a.jpg", quality=100)
        with Image.open(tmp_path / "a.jpg") as image:
            assert image.mode == ("L" if grey else "RGB")
            opacity = alpha[..., None] / peak
            expected = 255 * (color / peak * opacity + 1 - opacity)
            np.testing.assert_allclose(np.asarray(image.convert("RGB")), expected, atol=0.51)


def test_every_sixteen_bit_value_is_rounded_to_the_nearest(tmp_path: Path) -> None:
    alpha: Any = np.arange(65536, dtype=np.uint16).reshape(256, 256)  # WebP keeps alpha without loss
    encode(Picture(np.zeros((256, 256, 3), dtype=np.uint16), alpha), tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as image:
        np.testing.assert_array_equal(np.asarray(image)[..., 3], np.round(alpha / 257.0))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("grey", "with_alpha", "kind"), [(1, 0, 0), (0, 0, 2), (1, 1, 4), (0, 1, 6)])
def test_png_header_and_profile(tmp_path: Path, dtype: Any, grey: bool, with_alpha: bool, kind: int) -> None:
    profile = grey_profile(1.8) if grey else SRGB
    alpha = np.full((7, 5), 9, dtype=dtype) if with_alpha else None
    encode(Picture(np.ones((7, 5, 3), dtype=dtype), alpha, bool(grey), Metadata(icc=profile)), tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    # Width, height, bit depth, colour type (PNG 1.2, table 11.1), compression, filter, interlace.
    assert struct.unpack_from(">4sIIBBBBB", data, 12) == (b"IHDR", 5, 7, 8 * np.dtype(dtype).itemsize, kind, 0, 0, 0)
    assert b"iCCP" in data
    assert decode(tmp_path / "a.png").metadata.icc == profile


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("with_alpha", [False, True])
@pytest.mark.parametrize("grey", [False, True])
def test_tiff_as_tifffile_sees_it(tmp_path: Path, dtype: Any, grey: bool, with_alpha: bool) -> None:
    picture = random_picture(7, 5, dtype, alpha=with_alpha, grey=grey)
    encode(picture, tmp_path / "a.tif")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page = file.pages[0]
        assert isinstance(page, tifffile.TiffPage)
        written = page.asarray().reshape(7, 5, -1)
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.extrasamples == ((tifffile.EXTRASAMPLE.UNASSALPHA,) if with_alpha else ())
    channels = [picture.color[..., :1] if grey else picture.color, *([] if picture.alpha is None else [picture.alpha])]
    np.testing.assert_array_equal(written, np.dstack(channels))
    assert written.dtype == dtype


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_metadata_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    block = exif_with(1)
    block.get_ifd(0x8769)[0xA002] = 32  # the old width
    metadata = Metadata(SRGB, block.tobytes().removeprefix(b"Exif\0\0"), XMP, density=Density(300 / 25.4, 300 / 25.4))
    encode(Picture(gradient(), metadata=metadata), path)
    with Image.open(path) as image:
        assert image.info["icc_profile"] == SRGB
        xmp = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
        assert xmp == XMP
        exif = image.getexif()
        assert exif.get(0x0112, 1) == 1
        if suffix != ".webp":
            assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-5)
        assert exif[0x010F] == "Maker"
        assert exif.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert exif.get_ifd(0x8769)[0xA002] == 128  # the new width
    back = decode(path).metadata
    assert (back.icc, back.xmp) == (SRGB, XMP)
    assert suffix == ".webp" or back.density is not None
    assert back.density is None or (back.density.x, back.density.y) == pytest.approx((300 / 25.4,) * 2, rel=1e-3)


def test_grey_with_a_profile_becomes_srgb_in_webp(tmp_path: Path) -> None:
    """WebP has no grey: the values must change with the profile that gave them their meaning."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(8, axis=0).repeat(8, axis=1)
    profile = grey_profile(1.8)
    picture = Picture(ramp[..., None].repeat(3, axis=2), np.full_like(ramp, 77), True, Metadata(icc=profile))
    encode(picture, tmp_path / "a.webp", quality=100)
    expected = to_srgb(Image.fromarray(ramp), profile)
    assert np.abs(expected[..., 0].astype(int) - ramp).max() > 10
    back = decode(tmp_path / "a.webp")
    np.testing.assert_allclose(back.color, expected, atol=4)
    assert back.alpha is not None and (back.alpha == 77).all()


def test_refusals_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, error, message in (
        ("a.bmp", ImageError, r"a.bmp: choose a name that ends in .png, .jpg"),
        ("no_suffix", ImageError, "no_suffix"),
        ("file/a.png", UserError, "Cannot write to"),
    ):
        with pytest.raises(error, match=message):
            encode(Picture(gradient()), tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("suffix", "side"), [(".webp", 16383), (".jpg", 65500)])
def test_the_largest_sides_are_written_and_larger_ones_refused(tmp_path: Path, suffix: str, side: int) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ImageError, match=f"at most {side} pixels a side"):
        encode(Picture(np.zeros((side + 1, 1, 3), dtype=np.uint8)), path)
    assert not path.exists()
    encode(Picture(np.zeros((1, side, 3), dtype=np.uint8)), path)
    assert decode(path).width == side
