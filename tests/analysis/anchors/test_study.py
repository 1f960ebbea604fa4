"""Anchor studies: the numbers against direct calls, the keys that scripts rely on, files, and early refusals."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.anchors.collect import CollectedPrompts
from analysis.anchors.export import FILES, write_plane, write_study
from analysis.anchors.image_folders import ImageSet
from analysis.anchors.points import make_points
from analysis.anchors.separation import separate
from analysis.anchors.study import AnchorStudy, Stage, analyse, check_settings, collect_variants
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError
from promptsr.support.progress import finish
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import OWN_MODELS
from promptsr.zoo.sr_model import SRModel

SETTINGS: dict[str, Any] = {"perplexity": 3, "k": 2, "permutations": 19}


@pytest.fixture(scope="module")
def collected(photos: ImageSet, small_model: SRModel, tmp_path_factory: pytest.TempPathFactory) -> CollectedPrompts:
    return finish(collect_variants(small_model, photos, tmp_path_factory.mktemp("collected"), seed=5))


@pytest.fixture(scope="module")
def study(collected: CollectedPrompts) -> AnchorStudy:
    told: list[Stage] = []
    study = finish(analyse(collected, **SETTINGS), told.append)
    assert [step.done for step in told] == list(range(told[0].total)) and told[0].name == "points"
    assert {"t-SNE of group 2", "numbers of small, untrained"} <= {step.name for step in told}
    return study


def test_numbers_are_those_of_the_points(study: AnchorStudy, collected: CollectedPrompts) -> None:
    result = study.to_dict()
    keys = {"trained": result, "untrained": result["control_untrained"], "update_off": result["update_off"]}
    for variant, found in keys.items():
        expected = separate(make_points(collected, variant), k=2, permutations=19).to_dict()
        assert {key: found[key] for key in ("groups", "categories")} == expected
    assert result["groups"] != result["control_untrained"]["groups"]
    on, off = (make_points(collected, name).features[1].astype(float) for name in ("trained", "update_off"))
    expected_change = np.sqrt(((off - on) ** 2).sum() / (on**2).sum())
    assert result["update_change"][1] == pytest.approx(expected_change) and expected_change > 1e-6


def test_keys_that_scripts_rely_on(study: AnchorStudy) -> None:
    result = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert (result["images"], result["space"], result["k"]) == (12, "features", 2)
    for found in (result, result["control_untrained"], result["update_off"], result["plane"]):
        assert {"silhouette", "knn", "chance", "p_value"} <= found["groups"].keys()
        assert [each["group"] for each in found["categories"]] == [1, 2]
        assert all({"silhouette", "knn", "chance", "p_value"} <= each.keys() for each in found["categories"])
    settings = {"model": "small", "scale": 2, "way": "mean", "block": None, "seed": 0, "permutations": 19}
    assert {key: result[key] for key in settings} == settings and result["perplexity"] == 3
    assert result["alphas"] == [] and result["skipped"] == {}
    assert result["findings"] and all(isinstance(sentence, str) for sentence in result["findings"])
    assert list(result["seconds"]) == ["collect", "points", "embed", "numbers", "plane"]
    assert all(0 < value < 60 for value in result["seconds"].values())


def test_files(study: AnchorStudy, tmp_path: Path) -> None:
    write_study(study, tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES)
    assert json.loads((tmp_path / "new" / "anchors.json").read_text()) == study.to_dict()
    with np.load(tmp_path / "new" / "anchors.npz") as arrays:
        for variant in ("trained", "untrained", "update_off"):
            np.testing.assert_array_equal(arrays[f"features_{variant}"], study.points[variant].features)
        assert arrays["files"][arrays["images"][7]] == "dog/3.png"
        assert arrays["names"][arrays["categories"][7]] == "dog"
        assert arrays["plane_all"].shape == (24, 2) and arrays["plane_groups"].shape == (2, 12, 2)
    table = pd.read_csv(tmp_path / "new" / "tsne.csv")
    assert list(table.columns) == ["file", "category", "group", "x_all", "y_all", "x", "y"] and len(table) == 24
    row = table.iloc[12 + 7]
    assert (row["file"], row["category"], row["group"]) == ("dog/3.png", "dog", 2)
    np.testing.assert_allclose(row[["x", "y"]].astype(float), study.planes.single[1, 7], rtol=1e-5)
    np.testing.assert_allclose(row[["x_all", "y_all"]].astype(float), study.planes.all[12 + 7], rtol=1e-5)
    with Image.open(tmp_path / "new" / "tsne.png") as figure:
        assert figure.width > 2 * figure.height and np.asarray(figure.convert("L")).std() > 10
    assert "<svg" in (tmp_path / "new" / "tsne.svg").read_text()
    table.to_csv(tmp_path / "table.csv", index=False)
    for name in ("tsne.csv", "tsne.png", "tsne.svg"):
        (tmp_path / "new" / name).unlink()
    write_plane(tmp_path / "new")
    assert pd.read_csv(tmp_path / "new" / "tsne.csv").equals(pd.read_csv(tmp_path / "table.csv"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES)


def test_other_ways(collected: CollectedPrompts) -> None:
    anchors = finish(analyse(collected, way="anchors", limit=24, **SETTINGS))
    assert anchors.points["trained"].features.shape == (2, 24, 8) and anchors.to_dict()["images"] == 12
    with pytest.raises(ConfigError, match="6 x 6 anchors"):
        finish(analyse(collected, way="flattened", **SETTINGS))


def test_trained_alphas_join(
    photos: ImageSet, small_model: SRModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = small_model.network
    assert isinstance(network, PromptSR)
    for name, alpha in (("small-x2", 0.01), ("strong", 0.5)):
        config = replace(network.config, prompt_update=alpha)
        save_checkpoint(tmp_path / f"{name}.safetensors", config, network.state_dict(), {})
    monkeypatch.setenv(OWN_MODELS, str(tmp_path))
    study = finish(analyse(finish(collect_variants(small_model, photos, tmp_path / "out")), **SETTINGS))
    assert study.alphas == (("small-x2", 0.01, "alpha_0.01"), ("strong", 0.5, "alpha_0.5"))
    first, second = study.to_dict()["alphas"]
    assert (first["model"], first["alpha"], second["alpha"]) == ("small-x2", 0.01, 0.5)
    assert first["groups"] == study.to_dict()["groups"] != second["groups"]
    assert any("0.5" in sentence for sentence in study.findings)
    fewer = replace(study.features["alpha_0.5"], categories=study.features["alpha_0.5"].categories[:1])  # its groups
    answers = list(replace(study, features={**study.features, "alpha_0.5": fewer}).answers.values())
    assert ["alpha_0.5" in each for each in answers] == [True, True, False]
    assert answers[2]["trained"] is study.features["trained"].categories[1]


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"way": "median"}, "mean, flattened, anchors"),
        ({"perplexity": 12}, "from 1 to 11"),
        ({"perplexity": 0.5}, "from 1 to 11"),
        ({"k": 12}, "12 images have no 12 neighbours"),
    ],
)
def test_settings_are_refused_early(photos: ImageSet, change: dict[str, Any], hint: str) -> None:
    possible: dict[str, Any] = {"way": "mean", "perplexity": 3, "k": 2}
    check_settings(photos, **possible)
    check_settings(photos, way="anchors", perplexity=30, k=20)  # there are more points
    with pytest.raises(ConfigError, match=hint):
        check_settings(photos, **possible | change)
