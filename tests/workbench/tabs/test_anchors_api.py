"""The tab *Anchors* without a browser: a study of a ZIP file is that of its folder, points lead to their images."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from gradio_client import Client  # type: ignore[import-untyped]
from gradio_client.exceptions import AppError  # type: ignore[import-untyped]
from PIL import Image

from analysis.anchors.image_folders import find_image_set
from analysis.anchors.separation import nearest
from analysis.anchors.study import analyse, collect_variants
from promptsr import load_model
from promptsr.support.progress import finish
from tests.workbench.conftest import Server, ask, session

KINDS, EACH = ("dots", "noise", "ramps"), 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three kinds of pictures of 48 x 40 pixels, a few of each: ever smoother and brighter noise."""
    root = tmp_path_factory.mktemp("set") / "kinds"
    rng = np.random.default_rng(5)
    for smooth, kind in enumerate(KINDS, start=1):
        (root / kind).mkdir(parents=True)
        for i in range(EACH):
            noise = rng.integers(80 * smooth - 80, 80 * smooth, (40 // smooth, 48 // smooth, 3), dtype=np.uint8)
            Image.fromarray(noise).resize((48, 40)).save(root / kind / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def archive(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


Studied = tuple[Client, tuple[Any, ...]]


@pytest.fixture(scope="module")
def studied(server: Server, archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studied]:
    """A session with a study of the archive, and what it answered."""
    with session(server, tmp_path_factory.mktemp("downloads")) as client:
        yield client, ask(client, "anchors", archive)


def test_a_study_of_a_zip_is_that_of_its_folder(studied: Studied, server: Server, folder: Path, tmp_path: Path) -> None:
    _, (rows, said, _, files, news) = studied
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


def test_points_lead_to_their_images(studied: Studied) -> None:
    client, (_, _, _, files, _) = studied
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
    with pytest.raises(AppError, match="There is no point 48: choose one from 0 to 47"):
        client.predict(48, 0, api_name="/anchors_point")


def test_without_images_the_samples_are_cut_to_pieces(client: Client) -> None:
    rows, _, _, files, news = ask(client, "anchors", None, per_category=3)
    assert "<dd>18</dd>" in news and rows[0]["chance"] == 0.25
    table = pd.read_csv(next(file for file in files if file.endswith("tsne.csv")))
    assert sorted(set(table["category"])) == ["astronaut", "chelsea", "china", "coffee", "flower", "rocket"]


def test_a_file_that_is_no_zip_is_refused(client: Client, plain_photo: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake.zip"
    fake.write_bytes(plain_photo.read_bytes())
    with pytest.raises(AppError, match=r"fake\.zip cannot be unpacked"):
        ask(client, "anchors", fake)
