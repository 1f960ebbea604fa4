"""`python -m analysis attention`: the files and numbers it writes, the maps they follow from, and what is refused."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr
from skimage import data

import analysis.attention.maps as attention_maps
from analysis.attention.maps import look, maps_bytes
from promptsr.config import ModelConfig
from promptsr.data import load_pair
from promptsr.imaging.decode import decode
from promptsr.model.network import PromptSR
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import load_model

Run = Callable[..., tuple[int, str, str]]
MODEL = ("--model", "promptsr-tiny-x4")
FILES = ["attention.json", "attention.npz", "attention.png", "attention.svg"]


@pytest.fixture
def attention(analysis: Run) -> Run:
    """Runs `python -m analysis attention` in this process, for speed: exit code, stdout, stderr."""
    return partial(analysis, "attention")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Part of a face, 28 x 22 pixels: padded to 32 x 24."""
    path = tmp_path_factory.mktemp("photos") / "[red]face.png"
    Image.fromarray(data.astronaut()[::4, ::4][18:40, 40:68]).save(path)
    return path


def test_files_and_numbers(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new"
    command = [sys.executable, "-m", "analysis", "attention", str(photo), *MODEL, "--x", "17", "--y", "5"]
    command += ["--group", "2", "--block", "1", "--out", str(out), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # and nothing else
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert json.loads((out / "attention.json").read_text()) == result
    expected = {"model": "promptsr-tiny-x4", "image": photo.name, "hr": False, "width": 28, "height": 22}
    assert (expected | {"x": 17, "y": 5, "group": 2, "block": 1}).items() <= result.items()
    maps = look(load_model(MODEL[1]).network, decode(photo).to_tensor(), group=1, block=0)  # type: ignore[arg-type]
    with np.load(out / "attention.npz") as arrays:
        found = {name: arrays[name] for name in arrays.files}
    about = json.loads(str(found.pop("about")))
    assert about["reach"] == result["reach"] and set(found) == {*result["reach"], *result["group_sizes"]}
    np.testing.assert_array_equal(found["composed"], maps.composed(17, 5).values)
    np.testing.assert_array_equal(found["windows_fine"], maps.windows(17, 5, "fine").values)
    np.testing.assert_array_equal(found["members_coarse"], maps.members(17, 5, "coarse"))
    assert found["jacobian"].shape == (22, 28) and found["fine"].shape == (3, 4)
    rank = spearmanr(found["composed"].ravel(), found["jacobian"].ravel()).statistic
    assert result["spearman"] == pytest.approx(rank)
    assert [anchor["index"] for anchor in result["anchors"]] == np.argsort(-found["fine"].ravel())[:3].tolist()
    share = found["composed"].astype(np.float64) / found["composed"].sum(dtype=np.float64)
    rows, columns = np.indices(share.shape)
    reached = result["reach"]["composed"]
    assert reached["distance"] == pytest.approx((share * np.hypot(rows - 5, columns - 17)).sum())
    assert reached["effective"] == pytest.approx(math.exp(-(share * np.log(share)).sum()))
    assert result["padding_share"]["composed"] == pytest.approx(1 - found["composed"].sum(dtype=np.float64), abs=1e-5)
    assert len(result["reach"]["windows_coarse"]) == 2
    assert result["group_sizes"]["members_fine"] == found["members_fine"].sum()
    with Image.open(out / "attention.png") as figure:
        assert min(figure.size) > 1000 and np.asarray(figure.convert("L")).std() > 10
    assert (out / "attention.svg").read_text().startswith("<?xml")


def test_defaults_are_the_middle_and_the_last_block(attention: Run, photo: Path, tmp_path: Path) -> None:
    code, out, err = attention(photo, *MODEL, "--hr", "--out", tmp_path / "out")
    assert code == 0, err
    result = json.loads((tmp_path / "out" / "attention.json").read_text())
    lr = load_pair(photo, 4)[1]
    assert (result["height"], result["width"]) == lr.shape[2:] == (5, 7)
    assert (result["x"], result["y"], result["group"], result["block"], result["hr"]) == (3, 2, 4, 2, True)
    assert "composed" in out and f"{result['spearman']:.3f}" in out and "group 4, block 2" in out


def test_depth(attention: Run, photo: Path, tmp_path: Path) -> None:
    code, out, err = attention(photo, *MODEL, "--depth", "--pixels", 1, "--out", tmp_path, "--json", "-")
    assert code == 0, err
    assert "blocks" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "depth.csv", "depth.png"])
    table = pd.read_csv(tmp_path / "depth.csv")
    assert table[["group", "block"]].to_numpy().tolist() == [[g, b] for g in (1, 2, 3, 4) for b in (1, 2)]
    assert table["spearman"].between(-1, 1).all() and table["spearman"].nunique() == 8
    rows = json.loads(out)["depth"]
    assert [row["distance"] for row in rows] == pytest.approx(table["distance"].tolist())
    assert rows[0]["spearman_low"] is None  # of a single pixel


def test_network_without_anchors(attention: Run, photo: Path, tmp_path: Path) -> None:
    config = ModelConfig(
        channels=8, groups=1, window_size=8, heads=2, anchor_prompting=False, coarse_prompting=False,
        fine_prompting="off",
    )  # fmt: skip
    save_checkpoint(tmp_path / "plain.safetensors", config, PromptSR(config).state_dict(), {})
    code, out, err = attention(photo, "-m", tmp_path / "plain.safetensors", "-o", tmp_path / "out", "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert list(result["reach"]) == ["windows_coarse", "windows_fine"]
    assert (result["anchors"], result["spearman"], result["group_sizes"]) == ([], None, {})
    code, _, err = attention(photo, "-m", tmp_path / "plain.safetensors", "-o", tmp_path / "no", "--depth")
    assert code == 2 and "without anchor prompting" in err and not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["PHOTO", "-m", "bicubic-x4"], "bicubic-x4 is no PromptSR"),
        (["PHOTO", "-m", "nothing"], "There is no model nothing"),
        (["NOTHING.png", *MODEL], "NOTHING.png"),
        (["PHOTO", *MODEL, "--x", "28"], "(28, 11) lies outside of the 28 x 22 image"),
        (["PHOTO", *MODEL, "--y", "-1"], "(14, -1) lies outside"),
        (["PHOTO", *MODEL, "--group", "5"], "no block 2 in group 5"),
        (["PHOTO", *MODEL, "--block", "0"], "no block 0 in group 4"),
        (["PHOTO", *MODEL, "--depth", "--pixels", "0"], "1 or more"),
        (["PHOTO", *MODEL, "--out", "FILE"], "FILE"),
        (["PHOTO", *MODEL, "--json", "FILE/x.json"], "FILE"),
    ],
)
def test_bad_requests(arguments: list[str], hint: str, attention: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "FILE").write_text("kept")
    words = [str(photo) if word == "PHOTO" else word for word in arguments]
    words = [str(tmp_path / word) if word.startswith(("FILE", "NOTHING")) else word for word in words]
    words += [] if "--out" in words else ["--out", str(tmp_path / "new")]
    code, out, err = attention(*words)
    assert (code, out) == (2, "")
    assert hint in err and err.count("Error:") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"] and (tmp_path / "FILE").read_text() == "kept"


def test_too_large_an_image_is_refused_with_its_bytes(
    attention: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = load_model(MODEL[1]).network
    assert isinstance(network, PromptSR)
    monkeypatch.setattr(attention_maps, "MEMORY_BUDGET", maps_bytes(network.config, 16, 16))
    monkeypatch.setattr(PromptSR, "forward", lambda *_: torch.zeros(()).backward())
    code, _, err = attention(photo, *MODEL, "--out", tmp_path / "new")
    need = maps_bytes(network.config, 22, 28)
    assert code == 2 and f"{need:,} bytes" in err and "crop the image to 16 x 16 pixels" in err
    assert list(tmp_path.iterdir()) == []
