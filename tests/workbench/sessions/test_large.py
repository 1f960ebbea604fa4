"""Results that are too large to be shown whole, photographs with several frames, and what a format cannot keep."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.inference.tiling import Progress
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from workbench.sessions import pictures
from workbench.sessions.uploads import displayable
from workbench.tabs import upscale as upscale_tab
from workbench.ui import status


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))


def upscale(photo: Path, file_format: str = "PNG") -> tuple[Any, ...]:
    *_, last = upscale_tab.upscale(str(photo), "bicubic-x4", "bicubic", "auto", file_format)
    return last


def test_a_large_result_is_shown_smaller_and_kept_whole(garden: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "VIEW_PIXELS", 150_000)  # less than 488 x 348, so it is shown at half the size
    shown, (compared, result), _, download, news = upscale(garden)
    assert shown.reduction == 2 and "2 times smaller" in news
    for view in (compared, result):
        with Image.open(view) as seen:
            assert seen.size == (488 // 2, 348 // 2)
    whole = decode(Path(download)).color
    assert whole.shape == (348, 488, 3)
    with Image.open(download) as image:
        reduced = np.asarray(image.resize((488 // 2, 348 // 2), Image.Resampling.LANCZOS)).astype(int)
    assert np.abs(decode(Path(result)).color - reduced).max() <= 1
    x, y = 200, 100
    closeup = decode(Path(shown.closeups(x, y, 8)[2])).color[::8, ::8]
    side = 384 // (8 * 4)
    left, top = 4 * (x // 4 - side // 2), 4 * (y // 4 - side // 2)
    np.testing.assert_array_equal(closeup, whole[top : top + 4 * side, left : left + 4 * side])


def test_a_small_result_is_shown_as_it_is(plain_photo: Path) -> None:
    shown, _, result, download, news = upscale(plain_photo)
    assert (shown.reduction, shown.whole) == (1, {}) and "times smaller" not in news
    np.testing.assert_array_equal(decode(Path(result)).color, decode(Path(download)).color)


def test_a_format_that_cannot_hold_the_result_is_refused_before_the_work(tmp_path: Path) -> None:
    Image.new("L", (8, 4200)).save(tmp_path / "strip.png")
    with pytest.raises(UserError, match=r"16383|WebP|webp"):
        for step in upscale_tab.upscale(str(tmp_path / "strip.png"), "bicubic-x4", "bicubic", "auto", "WebP"):
            assert "Reading" in step[-1]


def test_a_download_that_fails_costs_nothing_else(plain_photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, quality: int) -> list[str]:
        raise UserError("The disk is full: make room.")

    monkeypatch.setattr("workbench.sessions.upscale.encode", full)
    _, (_, result), _, download, news = upscale(plain_photo)
    assert download is None and Path(result).exists() and "The disk is full: make room." in news


def test_what_a_format_cannot_keep_is_said(tmp_path: Path) -> None:
    photo = tmp_path / "deep.png"
    pixels = np.zeros((8, 9, 3), np.uint16)
    encode(Picture(pixels, np.full((8, 9), 9, np.uint16), metadata=Metadata(texts=(("Title", "A deer"),))), photo)
    assert "Not kept in JPEG" in upscale(photo, "JPEG")[4] and "Not kept" not in upscale(photo, "PNG")[4]


def test_the_page_says_which_frame_it_shows(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (12, 9), color) for color in ("red", "lime", "blue")]
    for name in ("a.gif", "a.tif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert "Frame 1 of 3 is shown" in upscale(tmp_path / name)[4]


@pytest.mark.parametrize("LARGE", [0, 2**30])
def test_the_format_can_be_chosen_after_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, LARGE: int) -> None:
    """Each is encoded once, by the command's own function, from all that the result has."""
    monkeypatch.setattr("promptsr.support.large_arrays.LARGE", LARGE)
    photo, rng = tmp_path / "deep.png", np.random.default_rng(5)
    pixels, alpha = rng.integers(0, 2**16, (30, 41, 3), np.uint16), rng.integers(0, 2**16, (30, 41), np.uint16)
    encode(Picture(pixels, alpha, metadata=Metadata(texts=(("Title", "A deer"),))), photo)
    shown, *_ = upscale(photo)
    expected = Upscaler(load_model("bicubic-x4"))(decode(photo)).picture
    encodings = []

    def counted(*arguments: Any, quality: int) -> list[str]:
        encodings.append(arguments)
        return encode(*arguments, quality=quality)

    monkeypatch.setattr("workbench.sessions.upscale.encode", counted)
    for name, quality in (("TIFF", 95), ("JPEG", 40), ("JPEG", 90), ("JPEG", 40), ("WebP", 40), ("TIFF", 95)):
        file, lost = shown.download(name, quality)
        target = tmp_path / f"expected{file.suffix}"
        assert lost == encode(expected, target, quality=quality)
        assert file.read_bytes() == target.read_bytes() and file.stem == "deep-bicubic-x4"
    assert len(encodings) == 4
    with pytest.raises(UserError, match="There is nothing to download yet"):
        upscale_tab._save("PNG", 95, None)
    with pytest.raises(UserError, match="There is no format BMP"):
        upscale_tab._save("BMP", 95, shown)


def test_a_format_that_cannot_hold_a_finished_result_is_refused(tmp_path: Path) -> None:
    Image.new("L", (8, 4200)).save(tmp_path / "strip.png")
    shown, *_ = upscale(tmp_path / "strip.png")
    with pytest.raises(UserError, match="webp files hold at most 16383 pixels a side: write PNG or TIFF instead"):
        upscale_tab._save("WebP", 95, shown)
    assert decode(Path(upscale_tab._save("JPEG", 95, shown))).color.shape == (16800, 32, 3)


@pytest.mark.parametrize(
    ("name", "kind", "kept"),
    [("a.png", "PNG", True), ("a.jpeg", "JPEG", True), ("a", "PNG", False), ("a.png", "TIFF", False),
     ("a.tif", "PNG", False), ("a.ppm", "PPM", False), ("a.tga", "TGA", False), ("a.bmp", "BMP", False)],
)  # fmt: skip
def test_browsers_get_what_they_show(tmp_path: Path, name: str, kind: str, kept: bool) -> None:
    path = tmp_path / name
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    Image.fromarray(pixels).save(path, kind)
    shown = displayable(path)
    assert (shown == str(path)) is kept
    np.testing.assert_array_equal(decode(Path(shown)).color, decode(path).color)


@pytest.mark.parametrize(
    ("passed", "done", "text"), [(1, 1, ""), (10, 0, ""), (10, 5, ", 10 s left"), (300, 1, ", 45 min left")]
)
def test_the_time_left(monkeypatch: pytest.MonkeyPatch, passed: float, done: int, text: str) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 1000.0)
    job = status.Job({"upscale": 1})
    monkeypatch.setattr("time.monotonic", lambda: 1000.0 + passed)
    shown = job.running("upscale", "Upscaling", Progress(done, 10))
    assert f">Upscaling: {done} of 10 tiles{text}</span>" in shown
