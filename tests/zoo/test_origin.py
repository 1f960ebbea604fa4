"""Licence and score of weights: from this package, from known checksums, and from what files say of themselves."""

import csv
import hashlib
import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from promptsr.downloads import RemoteFile
from promptsr.downloads.catalogue import Entry
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.listing import WEIGHTS, ModelInfo, search_models
from promptsr.zoo.origin import Origin, Score, origin_of
from tests.zoo.conftest import CONFIG, write_promptsr

ROOT = Path(__file__).parents[2]
FOREIGN = ModelInfo("IMDN_x2", 2, 694_404, True, {}, "IMDN")
OWN = ModelInfo("mine", 3, 1000, True, {})


def entry(path: Path) -> Entry:
    """The entry of a catalogue that offers this file."""
    content = path.read_bytes()
    remote = RemoteFile("http://127.0.0.1/a.pth", len(content), hashlib.sha256(content).hexdigest())
    return Entry("imdn-x2", "weights", "none stated", "http://127.0.0.1", "computed", (remote,))


def test_bundled_weights_have_the_licence_and_the_scores_of_the_project() -> None:
    listing = search_models()
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"]
    scores = json.loads((WEIGHTS / "scores.json").read_text(encoding="utf-8"))["models"]
    for model in listing.models:
        if model.name in scores:
            images, measured = next(iter(scores[model.name].items()))
            origin = origin_of(model, listing.files.get(model.name), {})
            assert origin.score == Score(measured["psnr_y"], images, "measured (scores.json)")
            assert origin.licence == (licence if model.parameters else None)
    assert listing.files["promptsr-tiny-x4"] == WEIGHTS / "promptsr-tiny-x4.safetensors"


def test_published_weights_are_known_by_their_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(b"weights")
    catalogue = {"imdn-x2": entry(path)}
    with (files("promptsr.paper") / "printed" / "table_I.csv").open(encoding="utf-8") as table:
        printed = [
            row for row in csv.DictReader(table)
            if (row["method"], row["scale"], row["metric"], row["status"]) == ("IMDN", "2", "psnr_y", "clear")
        ]  # fmt: skip
    score = Score(float(printed[0]["value"]), printed[0]["dataset"], "Table I of the paper")
    assert origin_of(FOREIGN, path, catalogue) == Origin("none stated", score)
    path.write_bytes(b"changed")  # as many bytes
    assert origin_of(FOREIGN, path, catalogue) == Origin()
    path.unlink()
    assert origin_of(FOREIGN, path, catalogue) == Origin()


def test_a_file_may_state_a_licence(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"weight": torch.zeros(3)}, path, {"modelspec.license": "CC-BY-4.0 " + 200 * "x"})
    licence = origin_of(FOREIGN, path, {}).licence
    assert licence and licence.startswith("CC-BY-4.0 x") and len(licence) == 80


@pytest.mark.parametrize(
    ("info", "expected"),
    [
        ({"validation_psnr_y": 28.5, "train": {"validation": "data/Kodak24", "validation_images": 8}},
         Score(28.5, "8 images of Kodak24", "in its training")),
        ({"validation_psnr_y": 28.5, "train": {"validation": "Set5", "validation_images": None}},
         Score(28.5, "Set5", "in its training")),
        ({"validation_psnr_y": 28.5}, None),
        ({"validation_psnr_y": float("nan"), "train": {"validation": "Set5"}}, None),
        ({"validation_psnr_y": "high", "train": {"validation": "Set5"}}, None),
        ({"train": [1]}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_a_checkpoint_of_our_own_has_its_last_validation(
    tmp_path: Path, info: dict[str, Any], expected: Score | None
) -> None:
    network = write_promptsr(tmp_path / "a.safetensors")
    save_checkpoint(tmp_path / "a.safetensors", CONFIG, network.state_dict(), info)
    assert origin_of(OWN, tmp_path / "a.safetensors", {}) == Origin(None, expected)
