"""Notebook 07: photographs kept apart, a training that runs, and scores of what came of it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.notebooks.conftest import Run

VALUES = {
    "seen": "[path.stem for path in seen]",
    "unseen": "[path.stem for path in unseen]",
    "read": "[path.stem for path in find_images(Path(recipe.data[0]))]",
    "reports": "[[report.step, report.loss, report.psnr_y] for report in reports]",
    "finished": "[outcome.finished, outcome.step, outcome.weights.name]",
    "baseline": "baseline",
    "scores": "scores.reset_index().to_dict('list')",
}


def test_training(run: Run) -> None:
    answer = run("07_train_your_own", VALUES)
    assert answer["seen"] == answer["read"] == ["00_astronaut", "01_chelsea", "03_coffee", "04_flower"]
    assert answer["unseen"] == ["02_china", "05_rocket"]
    assert answer["finished"] == [True, 8, "best.safetensors"]
    steps, losses, psnr = zip(*answer["reports"], strict=True)
    assert steps == (2, 4, 6, 8) and all(0 < loss < 0.1 for loss in losses)
    assert [value is None for value in psnr] == [True, False, True, False]  # validated every four steps
    scores = answer["scores"]
    assert scores["photograph"] == answer["seen"] + answer["unseen"]
    assert answer["baseline"] == pytest.approx(np.mean(scores["bicubic"][4:]))
    assert max(psnr[1], psnr[3]) == pytest.approx(np.mean(scores["this network"][4:]), abs=1e-3)
    assert np.abs(scores["gain"]).max() < 0.1  # it starts as bicubic interpolation, and eight steps change little
    assert min(scores["gain, bundled"]) > 1


def test_photographs_of_ones_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", 100), ("b", 120), ("c", 400)):
        noise = Image.fromarray(rng.integers(0, 255, (size // 4, size // 4, 3), dtype=np.uint8))
        noise.resize((size, size), Image.Resampling.BICUBIC).save(photos / f"{name}.png")
    monkeypatch.setenv("PROMPTSR_PHOTOS", str(photos))
    answer = run("07_train_your_own", {**VALUES, "sizes": "[load_hr(path, 2).shape[2] for path in seen + unseen]"})
    assert (answer["seen"], answer["unseen"]) == (["00_a", "01_b"], ["02_c"])
    assert answer["sizes"] == [100, 120, 160]  # the large one was scaled down
    assert answer["finished"][0] and sorted(path.name for path in photos.iterdir()) == ["a.png", "b.png", "c.png"]
