"""Frames and pages as Pillow and tifffile see them; formats that Pillow writes and libvips lacks."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from promptsr.imaging import decode, decode_frames, inspect
from promptsr.support.errors import ImageError
from tests.imaging.conftest import file_of

RANDOM = np.random.default_rng(0)
FRAMES = [Image.fromarray(RANDOM.integers(0, 256, (14, 18, 4), dtype=np.uint8)) for _ in range(4)]
DURATIONS = (40, 100, 150, 70)


def animation(kind: str, **options: Any) -> bytes:
    more = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    fields = {"save_all": True, "append_images": FRAMES[1:], "duration": list(DURATIONS), **more, **options}
    return file_of(FRAMES[0], kind, **fields)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
@pytest.mark.parametrize("loop", [0, 3])
def test_animations_match_pillow(kind: str, loop: int) -> None:
    data = animation(kind, loop=loop)
    header = inspect(data)
    assert (header.frames, header.durations) == (4, DURATIONS)
    assert header.loop == (loop + 1 if kind == "GIF" and loop else loop)  # Netscape's number is that of repetitions
    with Image.open(io.BytesIO(data)) as image:
        expected = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    found = list(decode_frames(data))
    assert len(found) == 4
    for number, (picture, right) in enumerate(zip(found, expected, strict=True)):
        alone = decode(data, frame=number)
        for each in (picture, alone):
            assert (each.alpha is not None) == header.alpha and each.width == header.width
            alpha = np.full(right.shape[:2], 255) if each.alpha is None else each.alpha
            np.testing.assert_array_equal(alpha, right[..., 3])
            np.testing.assert_array_equal(each.color[alpha > 0], right[alpha > 0][:, :3])
    with pytest.raises(ImageError, match="no frame 4"):
        decode(data, frame=4)


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L"])
@given(
    boxes=st.lists(st.tuples(*(st.integers(0, 9),) * 4), min_size=2, max_size=5),
    disposal=st.sampled_from([0, 1, 2]),
    blend=st.sampled_from([0, 1]),
)
def test_partial_frames_match_pillow(mode: str, boxes: list[Any], disposal: int, blend: int) -> None:
    canvas = Image.new("RGBA", (20, 20), (200, 200, 200, 255))
    frames = []
    for number, (x, y, width, height) in enumerate(boxes):
        canvas = canvas.copy()
        canvas.paste((40 * number, 255 - 50 * number, 9, 255), (x, y, x + width + 1, y + height + 1))
        frames.append(canvas.convert(mode))
    data = file_of(
        frames[0], "PNG", save_all=True, append_images=frames[1:], blend=blend, duration=90,
        disposal=disposal if mode == "RGBA" else 0,
    )  # fmt: skip
    with Image.open(io.BytesIO(data)) as image:
        expected = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(image)]
    found = list(decode_frames(data))
    assert len(found) == len(expected) == inspect(data).frames
    for picture, right in zip(found, expected, strict=True):
        alpha = np.full(right.shape[:2], 255) if picture.alpha is None else picture.alpha
        np.testing.assert_array_equal(alpha, right[..., 3])
        np.testing.assert_array_equal(picture.color[alpha > 0], right[alpha > 0][:, :3])


def test_pages_may_differ_in_size_and_thumbnails_are_none() -> None:
    buffer = io.BytesIO()
    pages = [RANDOM.integers(0, 256, (10 + n, 20 - n, 3), dtype=np.uint8) for n in range(3)]
    with tifffile.TiffWriter(buffer) as file:
        file.write(pages[0], photometric="rgb", description="first")
        file.write(pages[0][::4, ::4], photometric="rgb", subfiletype=1)
        file.write(pages[1], photometric="rgb")
        file.write(pages[2], photometric="rgb", description="third")
    header = inspect(buffer.getvalue())
    assert (header.frames, header.durations) == (3, ())
    for picture, right in zip(decode_frames(buffer.getvalue()), pages, strict=True):
        np.testing.assert_array_equal(picture.color, right)
    assert b"third" in (decode(buffer.getvalue(), frame=2).metadata.exif or b"")


GREY = RANDOM.integers(0, 256, (9, 11), dtype=np.uint8)
COLOR = RANDOM.integers(0, 256, (9, 11, 3), dtype=np.uint8)
PLAIN = {
    "P1": (b"P1\n# by hand\n3 2\n1 0 1\n010", [[0, 255, 0], [255, 0, 255]]),
    "P2": (b"P2 3 1 15\n0 7 15", [[0, 119, 255]]),
    "P2 deep": (b"P2 2 1 65535\n258 65535\n", [[258, 65535]]),
    "P3": (b"P3 1 1 255 # red\n255 0 9\n", [[[255, 0, 9]]]),
    "P4": (b"P4\n10 1\n\xaa\x80", [[0, 255, 0, 255, 0, 255, 0, 255, 0, 255]]),
    "P5": (b"P5\n2 1\n100\n\x00\x64", [[0, 255]]),
    "P5 deep": (b"P5 2 1 1023\n\x03\xff\x00\x00", [[65535, 0]]),
    "P6 deep": (b"P6 1 1 65535\n\x01\x02\x03\x04\x05\x06", [[[258, 772, 1286]]]),
    "P7": (b"P7\nWIDTH 1\nHEIGHT 2\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(range(8)),
           [[[0, 1, 2]], [[4, 5, 6]]]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
def test_netpbm_by_hand(name: str) -> None:
    data, values = PLAIN[name]
    expected = np.array(values)
    picture, header = decode(data), inspect(data)
    assert header.format == "PPM" and header.grey == picture.grey == (expected.ndim == 2)
    assert header.bit_depth == picture.bit_depth == (16 if "deep" in name else 8)
    np.testing.assert_array_equal(picture.color[..., 0] if picture.grey else picture.color, expected)
    assert (picture.alpha is not None) == header.alpha == (name == "P7")
    with pytest.raises(ImageError, match=r"damaged or incomplete|not an image we read"):
        decode(data[:-7])


KINDS = [(kind, mode) for kind in ("BMP", "TGA", "PPM", "AVIF") for mode in ("L", "RGB", "RGBA", "P", "1")]
KINDS.remove(("PPM", "P"))  # has no palettes


@pytest.mark.parametrize(("kind", "mode"), KINDS)
def test_other_formats_match_pillow(kind: str, mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(np.dstack([COLOR, GREY])).convert(mode)
    path = tmp_path / "a.tga"
    path.write_bytes(file_of(image, kind, **({"quality": 100, "subsampling": "4:4:4"} if kind == "AVIF" else {})))
    with Image.open(path) as reference:
        expected = np.asarray(reference.convert("RGBA"))
    picture, header = decode(path), inspect(path)
    assert header.format == kind
    assert (header.width, header.height, header.alpha) == (11, 9, picture.alpha is not None)
    assert header.grey == picture.grey
    tolerance = 4 if kind == "AVIF" else 0
    np.testing.assert_allclose(picture.color.astype(int), expected[..., :3].astype(int), atol=tolerance)
    np.testing.assert_allclose(255 if picture.alpha is None else picture.alpha.astype(int), expected[..., 3], atol=0)


def test_white_of_a_deep_avif_is_white() -> None:
    import pyvips

    for bits in (10, 12):
        white = pyvips.Image.black(16, 16, bands=3).cast("ushort").linear(1, 65535).cast("ushort")
        data = white.copy(interpretation="rgb16").heifsave_buffer(compression="av1", bitdepth=bits, lossless=True)
        assert (decode(data).color == 65535).all()


def test_memory_that_does_not_suffice_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["promptsr.imaging.decode"], "free_memory", lambda: 3 * 10**8)
    header = b"P6 40000 40000 255\n"
    with pytest.raises(ImageError, match=r"40000 x 40000 pixels, and needs 19.2 GB of memory, of which 0.3 GB are"):
        decode(header + bytes(100))
    assert inspect(header + bytes(100)).width == 40000
