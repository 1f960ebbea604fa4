"""The study that comes with the page: of the bundled weights and of nothing else, and its numbers are of its arrays."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from promptsr.config import preset
from promptsr.model.network import PromptSR
from workbench.sessions import models
from workbench.sessions.anchors import SHIPPED, Studied, shipped
from workbench.tabs import anchors
from workbench.tabs.anchors import first_question, made_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of Gradio's of its own."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))


def test_it_is_of_the_bundled_weights() -> None:
    """If not: `make anchors`."""
    made = made_of(first_question())
    assert json.loads((SHIPPED / "made.json").read_text()) == made
    found = shipped(made)
    assert found is not None
    assert {path.name for path in found.folder.iterdir()} == {Path(file).name for file in found.files}
    assert found.numbers["images"] == 6 * made["per_category"] and found.numbers["model"] == made["model"]


@pytest.mark.parametrize("change", [{"weights": "0"}, {"seed": 1}, {"block": 1}])
def test_another_one_is_not_taken_for_it(change: dict[str, Any]) -> None:
    assert shipped(made_of(first_question()) | change) is None


def test_other_weights_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "network", lambda name: PromptSR(preset("promptsr-tiny")))
    assert shipped(made_of(first_question())) is None


def test_numbers_are_of_the_arrays() -> None:
    study = Studied(SHIPPED, Path())
    with np.load(SHIPPED / "anchors.npz") as stored:
        features, categories = stored["features_trained"], stored["categories"]
    labels = [np.repeat(np.arange(4), len(categories)), *[categories] * 4]
    points = [features.reshape(-1, features.shape[2]), *features]
    rows = [row for row in study.rows if row["network"] == "trained"]
    assert [(row["where"], row["by"]) for row in rows[:2]] == [("all groups", "group"), ("group 1", "category")]
    for row, x, y in zip(rows, points, labels, strict=True):
        x = StandardScaler().fit_transform(x)
        assert row["silhouette"] == pytest.approx(silhouette_score(x, y), abs=1e-4)
        neighbours = NearestNeighbors(n_neighbors=5).fit(x).kneighbors(return_distance=False)
        votes = [Counter(near).most_common(1)[0][0] for near in y[neighbours].tolist()]  # of equals the nearest
        assert row["knn"] == pytest.approx((votes == y).mean(), abs=1e-6)
        assert row["chance"] == pytest.approx(np.bincount(y).max() / len(y))
    assert len(study.rows) == 3 * 5


def test_the_tab_is_ready_with_it_at_once() -> None:
    anchors.warm()
    studied, rows, findings, _, files, news = anchors._first_result()
    assert len(rows) == 15 and findings.startswith("- The residual groups") and "<dd>180</dd>" in news
    assert all(Path(file).exists() for file in files)
    facts, pictures = studied.look(0, 200)  # image 20 in group 2
    assert facts["Residual group"] == "2" and len(pictures) == 6
    assert all(path.exists() for path, _ in pictures)
