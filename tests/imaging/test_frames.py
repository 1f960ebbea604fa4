"""Animations, pages and folders of frames, read back by Pillow and tifffile."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageSequence

from promptsr.imaging import Header, Metadata, Picture, decode_frames
from promptsr.imaging.frames import can_hold, write_frames
from promptsr.support.errors import ImageError

TEXT = Metadata(texts=(("Title", "Schloß"),))
EXIF = b"II*\0\x08\0\0\0\x01\0\x98\x82\x02\0\x03\0\0\0me\0\0\0\0\0\0"  # Copyright


def _frames(count: int, *, deep: bool = False, alpha: bool = False) -> list[Picture]:
    rng = np.random.default_rng(count)
    kind = np.uint16 if deep else np.uint8

    def noise(*shape: int) -> np.ndarray:
        return rng.integers(0, np.iinfo(kind).max, shape, kind, endpoint=True)

    return [Picture(noise(9, 12, 3), noise(9, 12) if alpha else None, metadata=TEXT) for _ in range(count)]


def _header(frames: list[Picture], durations: tuple[int, ...] = (), loop: int = 0) -> Header:
    first = frames[0]
    alpha = first.alpha is not None
    return Header("GIF", first.width, first.height, first.bit_depth, False, alpha, len(frames), durations, loop)


@given(
    durations=st.lists(st.integers(10, 2**20), min_size=2, max_size=5),
    loop=st.integers(0, 1000),
    alpha=st.booleans(),
)
def test_apng_is_what_pillow_reads(
    durations: list[int], loop: int, alpha: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    frames = _frames(len(durations), alpha=alpha)
    path = tmp_path_factory.mktemp("apng") / "a.png"
    assert write_frames(frames, _header(frames, tuple(durations), loop), path) == []
    with Image.open(path) as image:
        assert (len(ImageSequence.all_frames(image)), image.info["loop"], image.info["Title"]) == (
            len(frames),
            loop,
            "Schloß",
        )
        for index, (frame, duration) in enumerate(zip(frames, durations, strict=True)):
            image.seek(index)
            whole = duration if duration < 2**16 else duration // 1000 * 1000
            assert image.info["duration"] == whole
            pixels = np.asarray(image)
            np.testing.assert_array_equal(pixels[..., :3], frame.color)
            if frame.alpha is not None:
                np.testing.assert_array_equal(pixels[..., 3], frame.alpha)
    assert list(path.parent.iterdir()) == [path]


def test_apng_of_sixteen_bits(tmp_path: Path) -> None:
    frames = _frames(3, deep=True)
    write_frames(frames, _header(frames, (100, 100, 100)), tmp_path / "deep.png")
    for found, frame in zip(decode_frames(tmp_path / "deep.png"), frames, strict=True):
        np.testing.assert_array_equal(found.color, frame.color)


@pytest.mark.parametrize("metadata", [TEXT, replace(TEXT, exif=EXIF, xmp=b"<x:xmpmeta/>")])
def test_webp_keeps_frames_durations_loop_and_metadata(metadata: Metadata, tmp_path: Path) -> None:
    flat = [Picture(np.full((40, 60, 3), level, np.uint8), metadata=metadata) for level in (20, 120, 220)]
    lost = write_frames(flat, _header(flat, (50, 100, 2000), 7), tmp_path / "a.webp")
    assert any("Title" in phrase for phrase in lost)
    with Image.open(tmp_path / "a.webp") as image:
        assert (len(ImageSequence.all_frames(image)), image.info["loop"]) == (3, 7)
        assert (image.info.get("exif"), image.info.get("xmp")) == (metadata.exif, metadata.xmp)  # nothing is made up
        for index, (level, duration) in enumerate(((20, 50), (120, 100), (220, 2000))):
            image.seek(index)
            image.load()
            assert image.info["duration"] == duration
            assert np.abs(np.asarray(image.convert("RGB")).astype(int) - level).max() <= 2


def test_pages_may_differ_in_size_and_depth(tmp_path: Path) -> None:
    pages = [*_frames(1), *_frames(2, deep=True), Picture(np.full((30, 5, 3), 7, np.uint8), grey=True)]
    write_frames(pages, _header(pages), tmp_path / "pages.tif")
    with tifffile.TiffFile(tmp_path / "pages.tif") as file:
        assert len(file.pages) == 4
        for page, expected in zip(file.pages, pages, strict=True):
            pixels = page.asarray()
            np.testing.assert_array_equal(pixels, expected.color[..., 0] if expected.grey else expected.color)


def test_a_folder_of_frames_replaces_an_older_one(tmp_path: Path) -> None:
    frames = _frames(2)
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk" / "0003.png").touch()
    lost = write_frames(frames, _header(frames, (100, 100)), tmp_path / "walk")
    assert lost == ["durations and loop of the animation"]
    files = sorted((tmp_path / "walk").iterdir())
    assert [file.name for file in files] == ["0001.png", "0002.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(files[1])), frames[1].color)


def test_finished_frames_outlive_an_error(tmp_path: Path) -> None:
    frames = _frames(2)
    header = replace(_header(frames, (100, 100, 100)), frames=3)

    def damaged() -> Iterator[Picture]:
        yield from frames
        raise ImageError("anim.gif is damaged.")

    with pytest.raises(ImageError, match=r"anim.gif is damaged. The 2 finished frames are in .*a-"):
        write_frames(damaged(), header, tmp_path / "a.png")
    [kept] = tmp_path.iterdir()
    assert sorted(file.name for file in kept.iterdir()) == ["0001.png", "0002.png"]


@pytest.mark.parametrize(
    ("name", "animation", "pages"),
    [
        ("a.png", True, False),
        ("a.webp", True, False),
        ("a.TIF", False, True),
        ("a.jpg", False, False),
        ("a", True, True),
    ],
)
def test_formats_that_hold_frames(name: str, animation: bool, pages: bool) -> None:
    header = Header("GIF", 9, 9, 8, grey=False, alpha=False, frames=2)
    assert can_hold(replace(header, durations=(100, 100)), Path(name)) is animation
    assert can_hold(header, Path(name)) is pages
