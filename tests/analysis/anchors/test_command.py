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

from analysis.anchors.export import FILES
from analysis.anchors.image_folders import ImageSet
from tests.support.commands import Run

QUICK = ("--perplexity", "3", "--k", "2", "--permutations", "19", "--batch", "2")


@pytest.fixture(scope="module")
def root(photos: ImageSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two categories of four images, 24 x 20 LR pixels each; another one of the first category is damaged."""
    root = tmp_path_factory.mktemp("photos")
    for name, category in (("[b]dog", "dog"), ("tench", "tench")):
        shutil.copytree(photos.root / category, root / name)
    (root / "[b]dog" / "4.png").write_bytes(b"no image at all")
    return root


@pytest.fixture(scope="module")
def single(root: Path, small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and JSON of a single process."""
    out = tmp_path_factory.mktemp("single") / "out"
    return out, run_process(["-m", "analysis"], root, small_checkpoint, out)


def run_process(start: list[str], root: Path, model: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, *start, "anchors", str(root), "--model", str(model), "--out", str(out), *QUICK]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}  # as torchrun sets it: threads change the last bits
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, timeout=200, env=environment)
    assert done.returncode == (1 if "torch.distributed.run" in start else 2), done.stderr  # torchrun knows only 1
    assert "1 of 9 images were left out" in done.stderr
    assert done.stderr.count("[b]dog/4.png was left out: 4.png is not an image we read") == 1
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_json_and_files(single: tuple[Path, dict[str, Any]]) -> None:
    out, result = single
    assert sorted(path.name for path in out.iterdir()) == sorted([*FILES, "collected"])
    assert (result["images"], result["k"], result["groups"]["chance"]) == (8, 2, 0.5)
    assert json.loads((out / "anchors.json").read_text()) == result
    assert np.load(out / "collected" / "done.npy").tolist() == [1, 1, 1, 1, 2, 1, 1, 1, 1]


def test_two_ranks_give_the_same(
    single: tuple[Path, dict[str, Any]], root: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "analysis"]
    result = run_process(start, root, small_checkpoint, tmp_path / "out")
    out, expected = single
    assert {**result, "seconds": 0} == {**expected, "seconds": 0}
    for name in ("trained.npy", "untrained.npy", "update_off.npy", "done.npy"):
        assert (tmp_path / "out" / "collected" / name).read_bytes() == (out / "collected" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in out.iterdir())


def test_another_look_collects_nothing_again(
    analysis: Run, single: tuple[Path, dict[str, Any]], root: Path, small_checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(single[0], out)
    np.lib.format.open_memmap(out / "collected" / "trained.npy", "r+")[:] *= -1  # would be mended by computing again
    command = ("anchors", root, "--model", small_checkpoint, "--out", out, *QUICK)
    code, printed, err = analysis(*command, "--points", "anchors", "--json", tmp_path / "x.json")
    assert code == 2, err
    assert "residual group" in printed and "untrained" in printed and "update off" in printed
    result = json.loads((tmp_path / "x.json").read_text())
    assert result["way"] == "anchors" and result["findings"][0] in err
    with np.load(out / "anchors.npz") as now, np.load(single[0] / "anchors.npz") as before:
        assert now["features_trained"].shape == (2, 8 * 36, 8)
        means = now["features_trained"].reshape(2, 8, 36, 8).mean(axis=2)
        np.testing.assert_allclose(means, -before["features_trained"], rtol=0, atol=1e-5)
    code, printed, err = analysis(*command, "--seed", "1")
    assert (code, printed) == (2, "") and "choose another --out, or delete that folder" in err


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["NOTHING"], "is not a folder"),
        (["ROOT", "--perplexity", "30"], "perplexity must be from 1 to 8"),
        (["ROOT", "--model", "bicubic-x4"], "has no anchor prompts"),
        (["ROOT", "--out", "ROOT/out"], "every folder is a category"),
        (["ROOT", "--out", "FILE"], "FILE"),
        (["ROOT", "--json", "FILE/x.json"], "FILE"),
    ],
)
def test_bad_requests(
    refused: Callable[..., None], arguments: list[str], hint: str, root: Path, small_checkpoint: Path
) -> None:
    words = [word.replace("ROOT", str(root)) for word in arguments]
    refused(hint, "anchors", "--model", small_checkpoint, "--out", "new", "--perplexity", 3, *words)
    assert sorted(path.name for path in root.iterdir()) == ["[b]dog", "tench"]
