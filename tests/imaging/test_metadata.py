"""Metadata from file to file, as Pillow, tifffile and a walk over the bytes see it."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from promptsr.imaging import SUFFIXES, Density, Metadata, Picture, decode, encode
from tests.imaging.conftest import SRGB, file_of, tiff_of
from tests.imaging.test_bombs import png_chunk

NOISE = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
IPTC = b"\x1c\x02\x74\x00\x05(c)me"
same_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def png_with(*chunks: tuple[bytes, bytes], pixels: np.ndarray = NOISE) -> bytes:
    """A PNG with chunks behind its header."""
    data = file_of(pixels, "PNG")
    return data[:33] + b"".join(png_chunk(*chunk) for chunk in chunks) + data[33:]


def chunks_of(data: bytes) -> list[bytes]:
    names, at = [], 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        names.append(data[at + 4 : at + 8])
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(data[at + 4 : at + 8 + length])
        at += 12 + length
    return names


def exif_block() -> bytes:
    """A photograph's: rotated, with its sides, a place and a thumbnail."""
    exif = Image.Exif()
    exif[0x013B], exif[0x8298], exif[0x0112] = "Ärtist", "(c) me", 6
    exif.get_ifd(0x8769).update({0x9003: "2020:01:02 03:04:05", 0xA002: 24, 0xA003: 16})
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.5)})
    return exif.tobytes().removeprefix(b"Exif\0\0")


TEXTS = st.lists(
    st.tuples(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=79).filter(
            lambda name: not name.startswith(("XML:", "Raw"))
        ),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40).map(
            lambda text: text * (1 + 60 * (len(text) % 3 == 2))
        ),
    ),
    max_size=4,
).map(tuple)
METADATA = st.builds(
    Metadata,
    icc=st.sampled_from([None, SRGB]),
    exif=st.sampled_from([None, decode(file_of(NOISE, "PNG", exif=exif_block())).metadata.exif]),
    xmp=st.sampled_from([None, b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xc3\xa4</x:xmpmeta>"]),
    iptc=st.sampled_from([None, IPTC, IPTC + b"\x1c\x02\x19\0\1x"]),
    texts=TEXTS,
    density=st.sampled_from([None, Density(300 / 25.4, 150 / 25.4), Density(10, 20), Density(3, 2, None)]),
)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@same_folder
@given(metadata=METADATA)
def test_what_is_kept_comes_back_and_the_rest_is_said(tmp_path: Path, suffix: str, metadata: Metadata) -> None:
    path = tmp_path / f"a{suffix}"
    lost = " ".join(encode(Picture(NOISE.transpose(1, 0, 2).copy(), metadata=metadata), path))
    with Image.open(path) as image:
        image.load()
        assert image.info.get("icc_profile") == metadata.icc
        exif = image.getexif()
    back = decode(path).metadata
    assert back.xmp == metadata.xmp and back.notes == ()
    if metadata.exif is not None:
        assert (exif[0x8298], exif.get_ifd(0x8769)[0xA002], exif.get_ifd(0x8769)[0xA003]) == ("(c) me", 16, 24)
        assert exif.get_ifd(0x8825)[2] == (48.0, 8.0, 0.5)
    elif suffix != ".tif":
        assert back.exif is None
    assert back.iptc == metadata.iptc or "IPTC" in lost
    if "the density" not in lost:
        assert (back.density is None) == (metadata.density is None)
    if back.density is not None and metadata.density is not None:
        assert back.density.unit == metadata.density.unit
        assert (back.density.x, back.density.y) == pytest.approx((metadata.density.x, metadata.density.y), rel=1e-3)
    if suffix == ".png":
        assert back.texts == metadata.texts and lost == ""
    else:
        for text in metadata.texts:
            assert text in back.texts or text[0] in lost or "comment" in lost


def test_nothing_is_invented(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert encode(Picture(NOISE), tmp_path / f"a{suffix}") == []
        assert decode(tmp_path / f"a{suffix}").metadata == Metadata()
    assert chunks_of((tmp_path / "a.png").read_bytes()) == [b"IHDR", b"IDAT", b"IEND"]
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert not {"XResolution", "ResolutionUnit", "Software"} & {tag.name for tag in file.pages.first.tags.values()}


def test_a_thumbnail_is_removed_and_the_rest_stays_in_place() -> None:
    thumbnail = file_of(NOISE[:8, :8], "JPEG")
    header = b"MM" + struct.pack(">HI", 42, 8)
    first = struct.pack(">H", 1) + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + struct.pack(">I", 26)
    second = (
        struct.pack(">H", 2)
        + struct.pack(">HHII", 0x0201, 4, 1, 56)
        + struct.pack(">HHII", 0x0202, 4, 1, len(thumbnail))
    )
    block = header + first + second + bytes(4) + thumbnail
    assert block.index(thumbnail) == 56
    kept = decode(file_of(NOISE, "PNG", exif=block)).metadata.exif
    assert kept == block[:18] + struct.pack(">HH", 1, 0) + bytes(4) + block[26:56]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tags_of_a_tiff(tmp_path: Path, order: str, big: bool) -> None:
    tags = [(315, "s", 0, "me", True), (33432, "s", 0, "(c) me", True), (33723, 7, len(IPTC), IPTC, True)]
    data = tiff_of(
        NOISE, photometric="rgb", byteorder=order, bigtiff=big, description="A hill", software="mine",
        datetime="2020:01:02 03:04:05", resolution=(300, 150), resolutionunit="INCH", extratags=tags,
    )  # fmt: skip
    picture = decode(data)
    assert picture.metadata.iptc == IPTC
    assert picture.metadata.density == Density(300 / 25.4, 150 / 25.4)
    assert encode(picture, tmp_path / "a.tif") == []
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        kept = {tag.name: tag.value for tag in file.pages.first.tags.values()}
        np.testing.assert_array_equal(file.asarray(), NOISE)
    expected = {"ImageDescription": "A hill", "Software": "mine", "Artist": "me", "Copyright": "(c) me"}
    expected |= {"DateTime": "2020:01:02 03:04:05"}
    assert expected.items() <= kept.items()
    assert kept["XResolution"][0] / kept["XResolution"][1] == 300 and kept["IPTCNAA"] == IPTC
    assert encode(picture, tmp_path / "a.jpg") == []
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif()[0x010E] == "A hill" and image.info["dpi"] == (300, 150)


def test_a_description_of_the_pixels_is_not_passed_on() -> None:
    picture = decode(tiff_of(NOISE, photometric="rgb", metadata={"axes": "YXS"}))
    assert picture.metadata.exif is None or b"shape" not in picture.metadata.exif
    assert picture.metadata.notes == ("A description of how its pixels are stored was left out.",)


def to_light(values: np.ndarray) -> np.ndarray:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("gamma", [1.0, 0.5, 1 / 1.8])
def test_gamma_is_converted(gamma: float) -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(3, 0)[..., None].repeat(3, 2)
    picture = decode(png_with((b"gAMA", struct.pack(">I", round(gamma * 1e5))), pixels=ramp))
    np.testing.assert_allclose(to_light(picture.color / 255), (ramp / 255) ** (1 / gamma), atol=0.0045)
    assert picture.metadata.notes == ("Its colours (gAMA) were converted to sRGB.",)


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"gAMA", struct.pack(">I", 45455))],
        [(b"gAMA", struct.pack(">I", 100000)), (b"sRGB", b"\0")],
        [(b"gAMA", struct.pack(">I", 100000)), (b"iCCP", b"x\0\0" + zlib.compress(SRGB))],
        [(b"cICP", bytes([1, 13, 0, 1]))],
        [(b"gAMA", bytes(4)), (b"cHRM", bytes(32))],
    ],
)
def test_other_colours_stay(chunks: list[tuple[bytes, bytes]]) -> None:
    np.testing.assert_array_equal(decode(png_with(*chunks)).color, NOISE)


def test_display_p3_by_code_points() -> None:
    """Against the matrix that CSS Color 4 prints."""
    matrix = np.array(
        [
            [1.2249401763, -0.2249401763, 0],
            [-0.0420569547, 1.0420569547, 0],
            [-0.0196375546, -0.0786360456, 1.0982736001],
        ]
    )
    found = decode(png_with((b"cICP", bytes([12, 13, 0, 1])))).color
    light = (to_light(NOISE / 255) @ matrix.T).clip(0, 1)
    expected = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(found, expected * 255, atol=0.51)


def test_large_texts_are_kept_and_larger_ones_said(tmp_path: Path) -> None:
    text = "node " * 150_000
    picture = decode(png_with((b"zTXt", b"workflow\0\0" + zlib.compress(text.encode()))))
    assert encode(picture, tmp_path / "a.png") == []
    assert Image.open(tmp_path / "a.png").text == {"workflow": text}  # type: ignore[attr-defined]
    huge = decode(png_with((b"zTXt", b"x\0\0" + zlib.compress(bytes(2**25)))))
    assert huge.metadata.texts == () and "left out" in huge.metadata.notes[0]


def test_what_jpeg_cannot_hold_is_said(tmp_path: Path) -> None:
    metadata = Metadata(exif=b"II*\0\x08\0\0\0" + bytes(70000), texts=(("Comment", "x" * 70000), ("Title", "x")))
    deep = Picture(NOISE.astype(np.uint16) * 257, np.zeros(NOISE.shape[:2], np.uint16), metadata=metadata)
    assert encode(deep, tmp_path / "a.jpg") == [
        "16 bits per channel", "the transparency", "EXIF of more than 64 KB", "a comment of more than 64 KB",
        'the text "Title"',
    ]  # fmt: skip
    with Image.open(tmp_path / "a.jpg") as image:
        assert "exif" not in image.info and "comment" not in image.info


def test_pixels_in_a_file_are_not_copied(tmp_path: Path) -> None:
    color: np.ndarray = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(40, 30, 3))
    color[:] = np.random.default_rng(1).integers(0, 256, color.shape)
    alpha: np.ndarray = np.memmap(tmp_path / "alpha", np.uint8, "w+", shape=(40, 30))
    encode(Picture(color, alpha), tmp_path / "a.png")
    with Image.open(io.BytesIO((tmp_path / "a.png").read_bytes())) as image:
        np.testing.assert_array_equal(np.asarray(image), np.dstack([color, alpha]))


def test_the_files_that_trouble_people(shared_data: Path, tmp_path: Path) -> None:
    cases = shared_data / "cases"
    if not cases.is_dir():
        pytest.skip("needs cases in PROMPTSR_DATA")
    texts = (("parameters", "a castle, Steps: 20, Seed: 1"), ("Title", "Schloß"), ("Software", "X"))
    assert decode(cases / "metadata/text.png").metadata.texts == texts
    for kind in ("jpg", "png", "tif", "webp"):
        for suffix in SUFFIXES:
            encode(decode(cases / f"metadata/exif.{kind}"), tmp_path / f"a{suffix}")
            with Image.open(tmp_path / f"a{suffix}") as image:
                assert image.getexif()[0x8298] == "(c) me"
    assert decode(cases / "metadata/iptc.jpg").metadata.iptc == IPTC
    encode(decode(cases / "density/dpi-xy.png"), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.info["dpi"] == (300, 150)
