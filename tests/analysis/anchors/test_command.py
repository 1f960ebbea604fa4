"""`python -m analysis anchors`: JSON and files, resumption, ranks under torchrun, and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from analysis.anchors.export import FILES
from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR
from promptsr.zoo.checkpoints import save_checkpoint

Run = Callable[..., tuple[int, str, str]]
QUICK = ("--perplexity", "3", "--k", "2", "--permutations", "19", "--batch", "2")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of four images; another one of the second category is damaged."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("church", "[b]dog"):
        (root / name).mkdir()
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / name / f"{i}.png")
    (root / "[b]dog" / "4.png").write_bytes(b"no image at all")
    return root


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ModelConfig(
        scale=2, channels=8, groups=2, blocks_per_group=2, heads=2, window_size=8, anchor_stride=4, category_size=16
    )
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_checkpoint(path, config, PromptSR(config).state_dict(), {})
    return path


@pytest.fixture(scope="module")
def single(root: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What a single process writes and prints."""
    out = tmp_path_factory.mktemp("single") / "out"
    return out, run_process(["-m", "analysis"], root, model, out)


def run_process(start: list[str], root: Path, model: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, *start, "anchors", str(root), "--model", str(model), "--out", str(out), *QUICK]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as torchrun sets it: threads change the last bits
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("[b]dog/4.png was left out: 4.png is not an image we read") == 1
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_json_and_files(single: tuple[Path, dict[str, Any]]) -> None:
    out, result = single
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "collected"])
    assert (result["images"], result["space"], result["k"]) == (8, "features", 2)
    for found in (result, result["control_untrained"], result["update_off"]):
        assert found["groups"]["chance"] == 0.5 and found["groups"].keys() >= {"silhouette", "knn", "p_value"}
        assert [each["group"] for each in found["categories"]] == [1, 2]
    assert json.loads((out / "anchors.json").read_text()) == result
    assert len((out / "tsne.csv").read_text().splitlines()) == 1 + 2 * 8
    flags = np.load(out / "collected" / "done.npy")
    assert flags.tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 1]


def test_two_ranks_give_the_same(single: tuple[Path, dict[str, Any]], root: Path, model: Path, tmp_path: Path) -> None:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "analysis"]
    result = run_process(start, root, model, tmp_path / "out")
    out, expected = single
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    for name in ("trained.npy", "untrained.npy", "update_off.npy", "done.npy"):
        assert (tmp_path / "out" / "collected" / name).read_bytes() == (out / "collected" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in out.iterdir())


def test_another_look_collects_nothing_again(
    analysis: Run, single: tuple[Path, dict[str, Any]], root: Path, model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(single[0], out)
    np.lib.format.open_memmap(out / "collected" / "trained.npy", "r+")[:] *= -1  # would be mended by computing again
    code, printed, err = analysis(
        "anchors", root, "--model", model, "--out", out, *QUICK, "--points", "anchors", "--json", tmp_path / "x.json"
    )
    assert code == 0, err
    assert "residual group" in printed and "untrained" in printed and "update off" in printed
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["way"] == "anchors" and result["findings"][0] in err
    with np.load(out / "anchors.npz") as now, np.load(single[0] / "anchors.npz") as before:
        assert now["features_trained"].shape == (2, 8 * 16, 8)
        means = now["features_trained"].reshape(2, 8, 16, 8).mean(axis=2)
        np.testing.assert_allclose(means, -before["features_trained"], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["{nothing}"], "is not a folder"),
        (["{root}/church"], "has no folders in it"),
        (["{root}", "--per-category", "0"], "1 or more"),
        (["{root}", "--perplexity", "30"], "perplexity must be from 1 to 8"),
        (["{root}", "--points", "all"], "mean, flattened, anchors"),
        (["{root}", "--block", "3"], "choose a block from 1 to 2"),
        (["{root}", "--batch", "0"], "batch must be 1 or more"),
        (["{root}", "--model", "bicubic-x4"], "has no anchor prompts"),
        (["{root}", "--out", "{root}/out"], "every folder is a category"),
        (["{root}", "--out", "{file}"], "FILE"),
        (["{root}", "--json", "{file}/x.json"], "FILE"),
    ],
)
def test_bad_requests(analysis: Run, arguments: list[str], hint: str, root: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "FILE").write_text("kept")
    words = [word.format(root=root, file=tmp_path / "FILE", nothing=tmp_path / "NOTHING") for word in arguments]
    words = ["anchors", "--model", str(model), "--out", str(tmp_path / "new"), "--perplexity", "3", *words]
    code, out, err = analysis(*words)
    assert (code, out) == (2, "")
    assert hint in err and err.count("Error:") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"] and (tmp_path / "FILE").read_text() == "kept"
    assert sorted(path.name for path in root.iterdir()) == ["[b]dog", "church"]


def test_a_collection_of_something_else_is_refused(
    analysis: Run, single: tuple[Path, dict[str, Any]], root: Path, model: Path
) -> None:
    code, out, err = analysis("anchors", root, "--model", model, "--out", single[0], *QUICK, "--seed", "1")
    assert (code, out) == (2, "") and "choose another --out, or delete that folder" in err
