"""Crops of the sample photographs are crops, where the seed says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from analysis.common.samples import write_crops, write_samples
from promptsr.support.errors import ConfigError


def pixels(path: Path) -> np.ndarray:
    """H x W x 3."""
    with Image.open(path) as image:
        return np.asarray(image)


def test_crops_come_from_their_photograph(tmp_path: Path) -> None:
    paths = write_crops(tmp_path, 3, side=64)
    assert sorted(path.parent.name for path in paths) == sorted(
        3 * ["astronaut", "chelsea", "china", "coffee", "flower", "rocket"]
    )
    assert {path.stem for path in paths} == {"000", "001", "002"}
    chelsea = data.chelsea()
    views = np.lib.stride_tricks.sliding_window_view(chelsea[..., 0], (64, 64))
    for path in (path for path in paths if path.parent.name == "chelsea"):
        crop = pixels(path)
        assert crop.shape == (64, 64, 3)
        rows, columns = np.nonzero(views[:, :, 0, 0] == crop[0, 0, 0])
        assert any(np.array_equal(chelsea[y : y + 64, x : x + 64], crop) for y, x in zip(rows, columns, strict=True))


def test_seed_and_number_decide_the_places(tmp_path: Path) -> None:
    first = write_crops(tmp_path / "a", 2, side=32)
    more = write_crops(tmp_path / "b", 3, side=32)
    other = write_crops(tmp_path / "c", 2, side=32, seed=1)
    assert [pixels(path).tobytes() for path in first] == [
        pixels(tmp_path / "b" / path.relative_to(tmp_path / "a")).tobytes() for path in first
    ]
    assert len(more) == 18
    assert [pixels(path).tobytes() for path in first] != [pixels(path).tobytes() for path in other]


def test_whole_height(tmp_path: Path) -> None:
    [path] = (path for path in write_crops(tmp_path, 1, side=300) if path.parent.name == "chelsea")
    chelsea = data.chelsea()
    assert any(np.array_equal(chelsea[:, x : x + 300], pixels(path)) for x in range(152))


@pytest.mark.parametrize(
    ("number", "side", "says"), [(0, 64, "1 or more"), (1, 0, "1 or more"), (1, 301, "300 or less")]
)
def test_refusals_write_nothing(number: int, side: int, says: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=says):
        write_crops(tmp_path / "crops", number, side=side)
    assert not (tmp_path / "crops").exists()


def test_samples_are_shrunk_photographs(tmp_path: Path) -> None:
    paths = write_samples(tmp_path / "photographs", 100)
    assert {max(pixels(path).shape[:2]) for path in paths} == {100} and len(paths) == 6
