"""Results that can be shown again: how many are kept, which two go together, and when their files are deleted."""

import gc
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from promptsr.imaging import Picture, decode
from promptsr.inference.upscaler import UpscaleResult
from promptsr.support.errors import UserError
from workbench.server import limits
from workbench.server.limits import PUBLIC, Limits
from workbench.sessions import upscale
from workbench.sessions.history import History
from workbench.sessions.upscale import Shown, show

Make = Callable[..., Shown]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Make the result of a model, an image of noise, for a photograph of 20 x 10 pixels."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    seeds = iter(range(1000))

    def make(model: str = "own-x2", photo: str = "deer", scale: int = 2) -> Shown:
        rng = np.random.default_rng(next(seeds))
        pictures = [Picture(rng.integers(0, 256, (10 * n, 20 * n, 3), np.uint8)) for n in (1, scale, scale)]
        results = [UpscaleResult(picture, None, 1, 0.1) for picture in pictures[1:]]
        names, file = (f"bicubic-x{scale}", model), tmp_path / f"{photo}.png"
        file.touch()
        return show(file, pictures[0], names, scale, results, f"{photo}-{model}")

    return make


def numbers(history: History) -> list[int]:
    return [each.number for each in history.entries]


def test_the_latest_are_kept_and_the_files_of_the_others_deleted(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_in_force", replace(Limits(), results=4))
    history, folders = History(), []
    for _ in range(6):
        result = make()
        download, _ = result.download("PNG", 95)
        folders.append([result.result.parent, download.parent, Path(result.closeups(3, 3, 6)[0]).parent])
        history = history.add(result)
        if history.after == 2:
            history = history.pin(2)
    del result
    gc.collect()
    assert numbers(history) == [2, 4, 5, 6] and history.after == 6
    for number, own in enumerate(folders, 1):
        assert {folder.exists() for folder in own} == {number in numbers(history)}, number
    history = history.drop(4)
    gc.collect()
    assert numbers(history) == [2, 5, 6] and not folders[3][0].exists()


def test_pixels_are_limited_too(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_in_force", replace(Limits(), results_pixels=2 * 800 + 1))
    history = History().add(make()).add(make()).add(make())
    assert numbers(history) == [2, 3]
    history = history.pin(3).add(make(scale=4))  # of 3200 pixels
    assert numbers(history) == [3, 4] and history.entries[0].pinned
    with pytest.raises(UserError, match="No more results of this size can be pinned: unpin one first"):
        history.pin(4)


def test_under_the_limits_of_a_public_page_there_is_room_for_new_ones(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "_in_force", PUBLIC)
    history = History()
    for _ in range(12):
        history = history.add(make())
        if len([each for each in history.entries if each.pinned]) < 4:
            history = history.pin(history.after)
    assert numbers(history) == [1, 2, 3, 4, 9, 10, 11, 12]
    with pytest.raises(UserError, match="No more results"):
        history.pin(12)
    assert not any(each.pinned for each in history.pin(1).pin(2).pin(3).pin(4).entries)


def test_two_of_one_photograph_and_size_go_into_the_slider(make: Make) -> None:
    first, second, other, larger = make("one-x2"), make("two-x2"), make(photo="fox"), make("one-x4", scale=4)
    history = History()
    for result in (larger, other, first, second):
        history = history.add(result)
    pair = history.beside(3)
    assert (pair.shown.models, pair.before) == (("one-x2", "two-x2"), 3)
    assert (pair.shown.compared, pair.shown.result) == (first.result, second.result)
    assert pair.shown.download("PNG", 95) == second.download("PNG", 95)
    for closeup, result in zip(pair.shown.closeups(16, 16, 24)[1:], (first, second), strict=True):
        square = decode(Path(closeup)).color[::24, ::24]
        rows, columns = result.square(16, 16, 24)
        np.testing.assert_array_equal(square, result.picture.color[rows, columns])
    assert [row["side"] for row in pair.rows()] == ["after", "before", "", ""]
    assert [row["fits"] for row in pair.rows()] == [True, True, False, False]
    assert pair.beside(4).shown is second and pair.choose(3).shown is first
    for number in (1, 2):
        with pytest.raises(UserError, match=r"one of deer.png with 40 x 20 pixels\."):
            history.beside(number)
    for number in (3, 4):
        with pytest.raises(UserError, match="This result is in the slider: choose another one first"):
            pair.drop(number)
    other.photo.unlink()  # after a day
    for gone, number in ((history.drop(1), 1), (history, 2)):
        with pytest.raises(UserError, match="This result is no longer kept"):
            gone.choose(number)
    assert numbers(history.drop(2)) == [1, 3, 4]


def test_the_pair_of_large_results_has_all_pixels(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("workbench.sessions.pictures.VIEW_PIXELS", 500)  # less than 40 x 20
        first, second = make("one-x2"), make("two-x2")
    pair = History().add(first).add(second).beside(1).shown
    assert set(pair.whole) == {first.result, second.result}
    rows, columns = pair.square(9, 9, 24)
    before = decode(Path(pair.closeups(9, 9, 24)[1])).color[::24, ::24]
    np.testing.assert_array_equal(before, first.picture.color[rows, columns])


def test_a_result_of_several_pages_lives_as_long_as_one_of_them_has_it(make: Make) -> None:
    shown = make()
    mine, yours = History().add(shown).add(make()), History().add(shown)
    assert numbers(yours.add(shown)) == [1]
    folder = shown.result.parent
    mine = mine.drop(1)
    del shown
    gc.collect()
    assert folder.exists()
    yours = yours.add(make()).drop(1)
    gc.collect()
    assert not folder.exists() and len(mine.entries) == len(yours.entries) == 1


def test_only_the_latest_close_ups_are_kept(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upscale, "_LOOKS", 2)
    shown = make()
    folders = [Path(shown.closeups(x, 3, 6)[0]).parent for x in range(4)]
    assert [folder.exists() for folder in folders] == [False, False, True, True]


def test_a_row_holds_a_small_picture(make: Make) -> None:
    history = History().add(make("<b>-x2"))
    [row] = history.rows()
    assert (row["name"], row["photo"], row["size"]) == ("<b>-x2", "deer", "40 × 20")
    with Image.open(BytesIO(urlopen(row["thumbnail"]).read())) as image:
        assert image.format == "WEBP" and image.size == (20, 10)


def luma(pixels: np.ndarray) -> np.ndarray:
    """Y of BT.601 in grey levels."""
    return 16 + pixels / np.iinfo(pixels.dtype).max @ np.array([65.481, 128.553, 24.966])


@pytest.mark.parametrize("apart", [1, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), [(150, 210), (200, 64), (40, 24)])
def test_it_starts_where_results_differ_most(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, dtype: type[np.unsignedinteger], apart: int
) -> None:
    """On Y, in windows of the square's size; of large results every third pixel both ways is looked at."""
    monkeypatch.setattr(upscale, "_SEARCHED", height * width // apart**2 + 1)
    rng = np.random.default_rng(height)
    compared, result = (rng.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype) for _ in range(2))
    seen = np.abs(luma(compared) - luma(result))[::apart, ::apart]
    side = min(64 // apart, *seen.shape)
    means = np.lib.stride_tricks.sliding_window_view(seen, (side, side)).mean((2, 3))
    y, x = np.unravel_index(means.argmax(), means.shape)
    place = upscale._most_different(Picture(compared), Picture(result))
    assert place == (apart * (x + side // 2), apart * (y + side // 2))
    assert upscale._most_different(Picture(result), Picture(result)) == (apart * (side // 2),) * 2  # the first of all


@pytest.mark.parametrize("zoom", [1, 6, 7, 24])
def test_a_square_is_that_of_its_own_middle(make: Make, zoom: int) -> None:
    """So moved by the keys it stays where it was put; it holds its pixel, and whole pixels of the photograph."""
    shown = make(scale=4)
    for y in range(0, 40, 3):
        for x in range(0, 80, 3):
            squares = shown.square(x, y, zoom)
            for at, most, part in zip((y, x), (40, 80), squares, strict=True):
                assert 0 <= part.start <= at < part.stop <= most and part.start % 4 == part.stop % 4 == 0
            middle_y, middle_x = (part.start + 4 * ((part.stop - part.start) // 8) for part in squares)
            assert shown.square(middle_x, middle_y, zoom) == squares
