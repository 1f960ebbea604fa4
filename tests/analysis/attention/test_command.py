"""The commands `attention`, `categories` and `receptive-field`: their files, the JSON that scripts rely on, the maps
that both follow from, and what is refused.
"""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor

from analysis.ablations.networks import promptsr_of
from analysis.attention.categories import categories
from analysis.attention.maps import look
from analysis.attention.receptive_field import receptive_field
from analysis.attention.superpixels import superpixels
from promptsr.data import load_pair
from promptsr.imaging.decode import decode
from promptsr.imaging.picture import to_array
from promptsr.model.network import PromptSR
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import load_model
from tests.analysis.attention.conftest import WINDOWS_ONLY, uneven

Run = Callable[..., tuple[int, str, str]]
TINY = ("--model", "promptsr-tiny-x4")
BICUBIC = ("--model", "bicubic-x4")
FILES = ["attention.json", "attention.npz", "attention.png", "attention.svg"]


@pytest.fixture(scope="module")
def network() -> PromptSR:
    return promptsr_of(load_model(TINY[1]))


@pytest.fixture(scope="module")
def image(face: Path) -> Tensor:
    return decode(face).to_tensor()


def check_files(folder: Path, names: list[str], result: dict[str, Any]) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    assert json.loads(next(folder.glob("*.json")).read_text()) == result
    for path in folder.glob("*.png"):
        with Image.open(path) as figure:
            assert min(figure.size) > {"attention.png": 1000}.get(path.name, 500)
            assert np.asarray(figure.convert("L")).std() > 10
    for path in folder.glob("*.svg"):
        assert path.read_text().startswith("<?xml") and "<svg" in path.read_text()


def test_attention_in_a_shell(face: Path, tmp_path: Path, network: PromptSR, image: Tensor) -> None:
    out = tmp_path / "new"
    command = [sys.executable, "-m", "analysis", "attention", str(face), *TINY, "--x", "17", "--y", "5"]
    command += ["--group", "2", "--block", "1", "--out", str(out), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # and nothing else
    check_files(out, FILES, result)
    expected = {"model": "promptsr-tiny-x4", "image": face.name, "hr": False, "width": 54, "height": 40}
    assert (expected | {"x": 17, "y": 5, "group": 2, "block": 1}).items() <= result.items()
    maps = look(network, image, group=1, block=0)
    with np.load(out / "attention.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    about = json.loads(str(found.pop("about")))
    assert about["reach"] == result["reach"] and set(found) == {*result["reach"], *result["group_sizes"]}
    np.testing.assert_array_equal(found["composed"], maps.composed(17, 5).values)
    np.testing.assert_array_equal(found["own_anchor"], maps.reading(2).values)  # of pixels 16 to 23 across, 0 to 7 down
    np.testing.assert_array_equal(found["windows_fine"], maps.windows(17, 5, "fine").values)
    np.testing.assert_array_equal(found["members_coarse"], maps.members(17, 5, "coarse"))
    assert found["jacobian"].shape == (40, 54) and found["fine"].shape == (5, 7)
    rank = spearmanr(found["composed"].ravel(), found["jacobian"].ravel()).statistic
    assert result["spearman"] == pytest.approx(rank)
    weights = [anchor["weight"] for anchor in result["anchors"]]
    assert weights == pytest.approx(np.sort(found["fine"], axis=None)[:-4:-1])
    share = found["composed"].astype(np.float64) / found["composed"].sum(dtype=np.float64)
    rows, columns = np.indices(share.shape)
    reached = result["reach"]["composed"]
    assert reached["distance"] == pytest.approx((share * np.hypot(rows - 5, columns - 17)).sum())
    assert reached["effective"] == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert result["padding_share"]["composed"] == pytest.approx(1 - found["composed"].sum(dtype=np.float64), abs=1e-5)
    assert len(result["reach"]["windows_coarse"]) == 2
    assert result["group_sizes"]["members_fine"] == found["members_fine"].sum()


def test_attention_over_depth(analysis: Run, face: Path, tmp_path: Path) -> None:
    code, out, err = analysis("attention", face, *TINY, "--depth", "--pixels", 1, "--out", tmp_path, "--json", "-")
    assert code == 0, err
    assert "blocks" in err
    result = json.loads(out)
    check_files(tmp_path, [*FILES, "depth.csv", "depth.png"], result)
    table = pd.read_csv(tmp_path / "depth.csv")
    assert table[["group", "block"]].to_numpy().tolist() == [[g, b] for g in (1, 2, 3, 4) for b in (1, 2)]
    assert table["spearman"].between(-1, 1).all() and table["spearman"].nunique() == 8
    assert [row["distance"] for row in result["depth"]] == pytest.approx(table["distance"].tolist())
    assert result["depth"][0]["spearman_low"] is None  # of a single pixel


def test_attention_without_anchors(analysis: Run, face: Path, tmp_path: Path) -> None:
    network = uneven(**WINDOWS_ONLY)
    save_checkpoint(tmp_path / "plain.safetensors", network.config, network.state_dict(), {})
    command = ("attention", face, "-m", tmp_path / "plain.safetensors")
    code, out, err = analysis(*command, "-o", tmp_path / "out", "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert list(result["reach"]) == ["windows_coarse", "windows_fine"]
    assert (result["anchors"], result["spearman"], result["group_sizes"]) == ([], None, {})
    code, _, err = analysis(*command, "-o", tmp_path / "no", "--depth")
    assert code == 2 and "without anchor prompting" in err and not (tmp_path / "no").exists()


def test_categories(analysis: Run, face: Path, tmp_path: Path, network: PromptSR, image: Tensor) -> None:
    code, out, err = analysis("categories", face, *TINY, "--out", tmp_path, "--segments", 20, "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    names = [f"categories.{suffix}" for suffix in ("csv", "json", "npz", "png", "svg")]
    check_files(tmp_path, [*names, "agreement.png", "patches.png"], result)
    assert (result["model"], result["image"], result["hr"]) == ("promptsr-tiny-x4", face.name, False)
    assert (result["width"], result["height"], result["anchors"]) == (54, 40, [5, 7])
    assert 10 <= result["superpixels"] <= 30 and result["finding"] in err.replace("\n", " ")
    maps = categories(network, image)
    with np.load(tmp_path / "categories.npz") as saved:
        np.testing.assert_array_equal(saved["labels"], [each.labels for each in maps.maps])
        assert saved["group"].tolist() == [group for group in (1, 2, 3, 4) for _ in range(4)]
        assert saved["kind"].tolist() == ["coarse", "fine"] * 8 and saved["anchor_grid"].tolist() == [5, 7]
        np.testing.assert_array_equal(saved["segments"], superpixels(to_array(image), 20))
    table = pd.read_csv(tmp_path / "categories.csv")
    assert list(table.columns[:6]) == ["group", "block", "kind", "used", "largest", "effective"]
    for row, told, found in zip(table.itertuples(), result["maps"], maps.maps, strict=True):
        assert (row.group, row.block, row.kind) == (found.group, found.block, found.kind)
        assert row.used == told["used"] == len(told["sizes"]) == len(np.unique(found.labels))
        assert row.ari_slic == pytest.approx(told["ari_slic"])


def test_receptive_field(analysis: Run, face: Path, tmp_path: Path, image: Tensor) -> None:
    code, out, err = analysis("receptive-field", face, *BICUBIC, *TINY, "--out", tmp_path, "--depth", "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    check_files(tmp_path, [f"receptive_field.{suffix}" for suffix in ("csv", "json", "npz", "png")], result)
    assert (result["width"], result["height"], result["hr"]) == (54, 40, False)
    blocks = [f"group {group}, block {block}" for group in (1, 2, 3, 4) for block in (1, 2)]
    layers = [("bicubic-x4", "output"), *(("promptsr-tiny-x4", name) for name in [*blocks, "output"])]
    assert [(field["model"], field["layer"]) for field in result["fields"]] == layers
    bicubic, promptsr = (receptive_field(load_model(name), [image]) for _, name in (BICUBIC, TINY))
    assert result["fields"][0]["extents"][3] == {"share": 0.99, "side": 5, "area": 25 / (54 * 40)}
    assert result["fields"][-1]["extents"][3]["side"] == promptsr.extent(0.99).side > 20
    with np.load(tmp_path / "receptive_field.npz") as saved:
        np.testing.assert_allclose(saved["maps"][0], bicubic.map, atol=1e-9)
        assert saved["layer"].tolist() == [layer for _, layer in layers] and len(saved["model"]) == 10
    table = pd.read_csv(tmp_path / "receptive_field.csv")
    assert list(table.columns) == ["model", "layer", "share", "side", "area"] and len(table) == 40


@pytest.mark.parametrize(
    ("command", "model", "words"),
    [
        ("attention", TINY, ["composed", "Spearman", "pixel (6, 5), group 4, block 2"]),  # the middle, the last block
        ("categories", TINY, ["ARI SLIC", "untrained", "4.2"]),
        ("receptive-field", BICUBIC, ["bicubic-x4", "5 px", "99 %"]),
    ],
)
def test_tables_and_shrinking(
    analysis: Run, face: Path, tmp_path: Path, command: str, model: tuple[str, str], words: list[str]
) -> None:
    code, out, err = analysis(command, face, *model, "--hr", "--out", tmp_path)
    assert code == 0, err
    assert all(word in out for word in words)
    assert command != "categories" or out.count("coarse") == out.count("fine") == 8
    result = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert (result["height"], result["width"]) == load_pair(face, 4)[1].shape[2:] == (10, 13)
    assert result["hr"]


@pytest.mark.parametrize(
    ("command", "arguments", "hint"),
    [
        ("attention", ["PHOTO", *BICUBIC], "bicubic-x4 is no"),
        ("attention", ["PHOTO", "-m", "nothing"], "There is no model nothing"),
        ("attention", ["NOTHING.png", *TINY], "NOTHING.png"),
        ("attention", ["PHOTO", *TINY, "--x", "54"], "(54, 20) lies outside of the 54 x 40 image"),
        ("attention", ["PHOTO", *TINY, "--y", "-1"], "(27, -1) lies outside"),
        ("attention", ["PHOTO", *TINY, "--group", "5"], "no block 2 in group 5"),
        ("attention", ["PHOTO", *TINY, "--block", "0"], "no block 0 in group 4"),
        ("attention", ["PHOTO", *TINY, "--depth", "--pixels", "0"], "1 or more"),
        ("attention", ["PHOTO", *TINY, "--out", "FILE"], "FILE"),
        ("attention", ["PHOTO", *TINY, "--json", "FILE/x.json"], "FILE"),
        ("categories", ["PHOTO", *BICUBIC], "bicubic-x4 is no"),
        ("categories", ["PHOTO", *TINY, "--segments", "1"], "must lie between 2 and 2160"),
        ("categories", ["PHOTO", *TINY, "--json", "."], "is a folder: give a file name in it"),
        ("receptive-field", ["PHOTO", *BICUBIC, "--depth"], "--depth looks into the blocks of a PromptSR: add one"),
        ("receptive-field", ["PHOTO", *TINY, "--json", "."], "is a folder: give a file name in it"),
    ],
)
def test_refusals_leave_nothing(
    command: str, arguments: list[str], hint: str, analysis: Run, face: Path, tmp_path: Path
) -> None:
    (tmp_path / "FILE").write_text("kept")
    words = [str(face) if word == "PHOTO" else word for word in arguments]
    words = [str(tmp_path / word) if word.startswith(("FILE", "NOTHING")) else word for word in words]
    words += [] if "--out" in words else ["--out", str(tmp_path / "new")]
    code, out, err = analysis(command, *words)
    assert (code, out) == (2, "")
    assert hint in err.replace("\n", " ") and err.count("Error:") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"] and (tmp_path / "FILE").read_text() == "kept"
