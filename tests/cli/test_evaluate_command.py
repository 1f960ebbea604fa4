"""`promptsr evaluate --bench`: JSON and files, resumption after a kill, ranks under torchrun, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptsr.evaluation.evaluate import Evaluation, evaluate, find_pairs
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.paper.tables import published
from promptsr.zoo.load import load_model

Run = Callable[..., tuple[int, str, str]]
LOPSIDED = '''
import torch


class Lopsided(torch.nn.Sequential):
    """Sees more to the right than to the left."""


def build():
    torch.manual_seed(0)
    return Lopsided(torch.nn.ConstantPad2d((0, 2, 1, 1), 0.5), torch.nn.Conv2d(3, 12, 3), torch.nn.PixelShuffle(2))
'''
COUNTED = '''
"""A network that notes every LR image of the sets, and may be killed over one of them."""
import os, signal, torch
from pathlib import Path


class Counted(torch.nn.Module):
    def forward(self, image):
        if image.shape[2:] == (20, 18):
            with open("seen.txt", "a") as file:
                file.write("x")
            if os.environ.get("KILLED_AT") == str(Path("seen.txt").stat().st_size):
                os.kill(os.getpid(), signal.SIGKILL)
        return image.repeat_interleave(2, 2).repeat_interleave(2, 3)


def build():
    return Counted()
'''


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Set5 with four images and Kodak24 with three."""
    bench = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    for name, count in (("Set5", 4), ("Kodak24", 3)):
        (bench / name).mkdir()
        for i in range(count):
            waves = 128 + 100 * np.sin(np.indices((40, 36, 3)).sum(0) / (i + 3)) + rng.normal(0, 6, (40, 36, 3))
            Image.fromarray(waves.clip(0, 255).astype(np.uint8)).save(bench / name / f"{i}.png")
    return bench


@pytest.fixture
def lopsided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A quick x2 network that the command line can name."""
    (tmp_path / "lopsided.py").write_text(LOPSIDED)
    monkeypatch.chdir(tmp_path)
    return "lopsided:build"


def start(folder: Path, *arguments: object, ranks: int = 1, **environment: str) -> subprocess.CompletedProcess[str]:
    """`promptsr evaluate` in a process of its own, or in several, with JSON on stdout."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launch, "-m", "promptsr", "evaluate", *map(str, arguments), "--json", "-"]
    threads = {"OMP_NUM_THREADS": "1"}  # as torchrun sets it: threads change the last bits
    return subprocess.run(
        command, cwd=folder, env=os.environ | threads | environment, capture_output=True, text=True, timeout=200
    )


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_table_and_its_json(promptsr: Run, bench: Path, lopsided: str, tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    code, out, err = promptsr(
        "evaluate", "--bench", bench, "-m", "bicubic-x2", "-m", lopsided, "-m", "bicubic-x2", "--json", target
    )
    assert code == 0, err
    for text in ("bicubic-x2", lopsided, "PromptSR*", "measured", "published", "Kodak24", "Table I"):
        assert text in out
    result = json.loads(target.read_text())
    assert (result["scale"], result["self_ensemble"]) == (2, False)
    assert [row["model"] for row in result["measured"]] == ["bicubic-x2", lopsided]
    for row in result["measured"]:
        assert list(row["sets"]) == ["Set5", "Kodak24"]
        model = load_model(row["model"])
        for name, found in row["sets"].items():
            expected = Evaluation(model.name, 2, list(evaluate(model, find_pairs(bench / name, None))))
            assert found["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-4)
            assert [image["name"] for image in found["images"]] == [image.name for image in expected.images]
    methods = published("I", scale=2, clear_only=False)["method"].unique()
    assert [row["method"] for row in result["published"]] == list(methods)


def test_self_ensemble(promptsr: Run, bench: Path, lopsided: str, tmp_path: Path) -> None:
    common = ["evaluate", "-m", lopsided, "--self-ensemble", "--json", tmp_path / "found.json"]
    model = self_ensemble(load_model(lopsided))
    expected = Evaluation(model.name, 2, list(evaluate(model, find_pairs(bench / "Set5", None))))
    assert promptsr(*common, "--bench", bench, "--set", "Set5")[0] == 0
    result = json.loads((tmp_path / "found.json").read_text())
    [row] = result["measured"]
    assert result["self_ensemble"] and row["model"] == "lopsided:build+" and list(row["sets"]) == ["Set5"]
    assert row["sets"]["Set5"]["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-4)
    assert promptsr(*common, "--hr", bench / "Set5")[0] == 0
    folder = json.loads((tmp_path / "found.json").read_text())
    assert folder["model"] == "lopsided:build+" and folder["psnr_y"] == row["sets"]["Set5"]["psnr_y"]


def test_a_killed_run_goes_on_with_any_number_of_ranks(bench: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(COUNTED)
    seen = tmp_path / "seen.txt"
    request = ["--bench", bench, "--model", "counted:build", "--model", "bicubic-x2"]
    expected = result_of(start(tmp_path, *request))
    assert len(seen.read_text()) == 7

    seen.unlink()
    killed = start(tmp_path, *request, "--out", "out", KILLED_AT="4")  # with three finished
    assert killed.returncode == -signal.SIGKILL and len(seen.read_text()) == 4

    seen.unlink()
    assert result_of(start(tmp_path, *request, "--out", "out", ranks=2)) == expected
    assert len(seen.read_text()) == 4  # the one under way, and three more
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores", "table.csv", "table.md"]
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 2

    seen.unlink()
    assert result_of(start(tmp_path, *request, "--out", "out")) == expected
    assert not seen.exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["-m", "bicubic-x2"], "--hr"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--hr", "{bench}/Set5"], "leave it out"),
        (["-m", "bicubic-x2", "-m", "bicubic-x3", "--hr", "{bench}/Set5"], "takes one model"),
        (["-m", "bicubic-x2", "--hr", "{bench}/Set5", "--out", "new"], "--out"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--lr", "{bench}/Set5"], "--lr goes with --hr"),
        (["-m", "bicubic-x2", "-m", "bicubic-x3", "--bench", "{bench}"], "compare models of one scale"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--scale", "4"], "choose a model for x4"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--set", "Urban100"], "choose among Set5, Kodak24"),
        (["-m", "bicubic-x2", "--bench", "nowhere"], "nowhere is not a folder"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--out", "FILE"], "FILE"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--device", "gpu"], 'device "gpu" is not available'),
    ],
)
def test_bad_requests(promptsr: Run, arguments: list[str], hint: str, bench: Path, tmp_path: Path,
                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("kept")
    code, out, err = promptsr("evaluate", *(word.format(bench=bench) for word in arguments), "--json", "-")
    assert (code, out) == (2, "")
    assert hint in err and "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_a_damaged_image_is_named(promptsr: Run, bench: Path, tmp_path: Path) -> None:
    shutil.copytree(bench, tmp_path / "bench")
    (tmp_path / "bench" / "Kodak24" / "1.png").write_bytes(b"damaged")
    code, out, err = promptsr("evaluate", "--bench", tmp_path / "bench", "-m", "bicubic-x2", "--json", "-")
    assert (code, out) == (2, "") and "Kodak24: 1.png is not an image" in err


def test_imdn_reaches_its_printed_row(promptsr: Run, shared_data: Path, tmp_path: Path) -> None:
    """The command on a real set; tests/peers has the other checkpoints."""
    checkpoint = shared_data / "peers" / "imdn" / "IMDN_x4.pth"
    if not checkpoint.is_file():
        pytest.skip("no checkpoint of IMDN in the shared folder")
    target = tmp_path / "found.json"
    common = ["--set", "Set5", "--scale", 4, "--model", checkpoint, "--json", target]
    code, _, err = promptsr("evaluate", "--bench", shared_data / "data" / "bench", *common)
    assert code == 0, err
    result = json.loads(target.read_text())
    assert result["own_lr"] == []
    [measured] = (row["sets"]["Set5"]["psnr_y"] for row in result["measured"])
    [printed] = (row["sets"]["Set5"]["psnr_y"] for row in result["published"] if row["method"] == "IMDN")
    assert measured == pytest.approx(32.211, abs=0.01) and measured == pytest.approx(printed["value"], abs=0.01)
