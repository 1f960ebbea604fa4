"""Crops of the sample photographs are crops, where the seed says."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from analysis.common.samples import write_crops, write_samples


def pixels(path: Path) -> np.ndarray:
    """H x W x 3."""
    with Image.open(path) as image:
        return np.asarray(image)


def test_crops_come_from_their_photograph(tmp_path: Path) -> None:
    paths = write_crops(tmp_path, 3, side=64)
    photographs = ["astronaut", "chelsea", "china", "coffee", "flower", "rocket"]
    assert sorted(path.parent.name for path in paths) == sorted(3 * photographs)
    assert {path.stem for path in paths} == {"000", "001", "002"}
    chelsea = data.chelsea()
    views = np.lib.stride_tricks.sliding_window_view(chelsea[..., 0], (64, 64))
    for path in (path for path in paths if path.parent.name == "chelsea"):
        crop = pixels(path)
        assert crop.shape == (64, 64, 3)
        rows, columns = np.nonzero(views[:, :, 0, 0] == crop[0, 0, 0])
        assert any(np.array_equal(chelsea[y : y + 64, x : x + 64], crop) for y, x in zip(rows, columns, strict=True))


def test_seed_and_number_decide_the_places(tmp_path: Path) -> None:
    def crops(number: int, seed: int) -> dict[str, bytes]:
        paths = write_crops(tmp_path / f"{number} {seed}", number, side=32, seed=seed)
        return {f"{path.parent.name}/{path.name}": pixels(path).tobytes() for path in paths}

    first, more = crops(2, 0), crops(3, 0)
    assert first.items() <= more.items() and len(more) == 18
    assert first.keys() == crops(2, 1).keys() and first != crops(2, 1)


def test_whole_height(tmp_path: Path) -> None:
    [path] = (path for path in write_crops(tmp_path, 1, side=300) if path.parent.name == "chelsea")
    chelsea = data.chelsea()
    assert any(np.array_equal(chelsea[:, x : x + 300], pixels(path)) for x in range(152))


def test_samples_are_shrunk_photographs(tmp_path: Path) -> None:
    paths = write_samples(tmp_path / "photographs", 100)
    assert {max(pixels(path).shape[:2]) for path in paths} == {100} and len(paths) == 6
