"""The tab *Anchors* without a browser: a study of a ZIP file is that of its folder, points lead to their images."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from gradio_client import Client, handle_file  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from analysis.anchors.image_folders import find_image_set
from analysis.anchors.neighbours import nearest
from analysis.anchors.study import analyse, collect_variants
from promptsr import load_model
from promptsr.support.progress import finish

if TYPE_CHECKING:
    from tests.workbench.conftest import Server

KINDS, EACH = ("dots", "noise", "ramps"), 4
QUESTION = {
    "model": "own-tiny", "way": "mean", "per_category": EACH, "block": 2, "perplexity": 5, "seed": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of pictures of 48 x 40 pixels, a few of each."""
    root = tmp_path_factory.mktemp("kinds")
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:40, :48]
    for kind in KINDS:
        (root / kind).mkdir()
        for i in range(EACH):
            values = {
                "dots": ((x // 4 + y // 4 + i) % 2 * 200),
                "noise": rng.integers(0, 256, x.shape),
                "ramps": (x * (i + 1) + 2 * y) % 256,
            }[kind]
            Image.fromarray(np.stack([values, values // 2, 255 - values], axis=2).astype(np.uint8)).save(
                root / kind / f"{i}.png"
            )
    return root


@pytest.fixture(scope="module")
def archive(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "kinds.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for file in sorted(folder.rglob("*.png")):
            zipped.write(file, Path("kinds") / file.relative_to(folder))
    return path


def study(client: Client, archive: Path | None, **changed: Any) -> tuple[Any, ...]:
    sent = None if archive is None else handle_file(archive)
    found: tuple[Any, ...] = client.predict(sent, *{**QUESTION, **changed}.values(), api_name="/anchors")
    return found


def test_a_study_of_a_zip_is_that_of_its_folder(
    client: Client, server: Server, folder: Path, archive: Path, tmp_path: Path
) -> None:
    rows, said, _, files, news = study(client, archive)
    collected = finish(collect_variants(load_model(server.weights), find_image_set(folder), tmp_path, block=2))
    wanted = finish(analyse(collected, perplexity=5))
    assert len(rows) == 3 * (1 + 4) and "<dd>12</dd>" in news
    for variant, name in (("trained", "trained"), ("untrained", "untrained"), ("update_off", "update off")):
        found = [row for row in rows if row["network"] == name]
        expected = [wanted.features[variant].groups, *wanted.features[variant].categories]
        assert [row["knn"] for row in found] == pytest.approx([each.knn for each in expected])
        assert [row["silhouette"] for row in found] == pytest.approx([each.silhouette for each in expected], abs=1e-4)
    assert said.splitlines() == [f"- {sentence}" for sentence in wanted.findings]
    by_name = {Path(file).name: Path(file) for file in files}
    assert set(by_name) == {"anchors.npz", "tsne.csv", "tsne.png", "tsne.svg", "anchors.json"}
    table, summary = pd.read_csv(by_name["tsne.csv"]), json.loads(by_name["anchors.json"].read_text())
    assert len(table) == 4 * 12 and set(table["category"]) == set(KINDS)
    assert summary["images"] == 12 and summary["seed"] == 0


def test_points_lead_to_their_images(client: Client, archive: Path) -> None:
    files = study(client, archive)[3]
    html = client.predict(0, api_name="/anchors_plane")
    labels = re.findall(r'data-point="(\d+)" data-label="(\d)"', html)
    assert [(int(i), int(group)) for i, group in labels] == [(i, i // 12) for i in range(48)]
    facts, pictures = client.predict(30, 0, api_name="/anchors_point")  # image 6 in group 3
    with np.load(next(file for file in files if file.endswith(".npz"))) as stored:
        name, category = str(stored["files"][6]), stored["names"][stored["categories"][6]]
        features = stored["features_trained"]
        neighbours = nearest(features.reshape(48, -1), 30, 5)
    assert name in facts and str(category) in facts and ">3<" in facts
    assert [each["caption"] for each in pictures] == [
        "The chosen point: group 3",
        *(f"Neighbour {i}: group {other // 12 + 1}" for i, other in enumerate(neighbours, start=1)),
    ]
    one, other = (np.asarray(Image.open(pictures[i]["image"]).convert("RGB")) for i in (0, 1))
    assert one.shape == (40, 48, 3) and other.shape == one.shape

    html = client.predict(4, api_name="/anchors_plane")
    assert [int(kind) for kind in re.findall(r'data-label="(\d)"/>', html)] == [0] * 4 + [1] * 4 + [2] * 4
    assert all(kind in html for kind in KINDS)
    facts, pictures = client.predict(0, 4, api_name="/anchors_point")
    assert pictures[0]["caption"] == "The chosen point: dots" and "Neighbours of the same category" in facts


def test_without_images_the_samples_are_cut_to_pieces(client: Client) -> None:
    rows, _, _, files, news = study(client, None, per_category=3)
    assert "<dd>18</dd>" in news and rows[0]["chance"] == 0.25
    table = pd.read_csv(next(file for file in files if file.endswith("tsne.csv")))
    assert sorted(set(table["category"])) == ["astronaut", "chelsea", "china", "coffee", "flower", "rocket"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"model": "bicubic-x4"}, "bicubic-x4 is no PromptSR network"),
        ({"model": "../own"}, "There is no model"),
        ({"way": "sum"}, "not in the list"),
        ({"per_category": 1}, "Take 2 to 500 images per category, not 1."),
        ({"per_category": 10**6}, "Take 2 to 500 images per category"),
        ({"block": 3}, "greater than maximum"),
        ({"perplexity": 12}, "The perplexity must be from 1 to 11"),
        ({"seed": -1}, "The seed must be 0 or more"),
    ],
)
def test_what_cannot_be_is_refused(client: Client, archive: Path, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(AppError) as refusal:
        study(client, archive, **changed)
    assert message in str(refusal.value)


def test_a_file_that_is_no_zip_is_refused(client: Client, plain_photo: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake.zip"
    fake.write_bytes(plain_photo.read_bytes())
    with pytest.raises(AppError, match=r"fake\.zip cannot be unpacked"):
        study(client, fake)


def test_points_that_are_not_there_are_refused(server: Server, client: Client, archive: Path) -> None:
    fresh = Client(server.url, verbose=False, analytics_enabled=False)
    with pytest.raises(AppError, match="Nothing has been studied yet"):
        fresh.predict(3, 0, api_name="/anchors_point")
    fresh.close()
    study(client, archive)
    with pytest.raises(AppError, match="There is no point 48: choose one from 0 to 47"):
        client.predict(48, 0, api_name="/anchors_point")
