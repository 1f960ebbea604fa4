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
from promptsr.imaging import Picture, encode
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.paper.tables import published
from promptsr.zoo.load import list_models, load_model
from tests.support.commands import Run

Result = Callable[..., dict[str, Any]]
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


def start(folder: Path, *arguments: object, ranks: int = 1, code: int = 0, **environment: str) -> str:
    """`promptsr evaluate` in a process of its own, or in several, which ends with a code: its JSON."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launch, "-m", "promptsr", "evaluate", *map(str, arguments), "--json", "-"]
    threads = {"OMP_NUM_THREADS": "1"}  # as torchrun sets it: threads change the last bits
    environment = os.environ | threads | environment
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == code, done.stderr
    return done.stdout


def test_a_table_and_its_json(promptsr: Run, bench: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    models = ("-m", "bicubic-x2", "-m", "promptsr-tiny-x2", "-m", "bicubic-x2")
    code, out, err = promptsr("evaluate", "--bench", bench, *models, "--json", target)
    assert code == 0, err
    for text in ("bicubic-x2", "promptsr-tiny-x2", "PromptSR*", "measured", "published", "Kodak24", "Table I"):
        assert text in out
    result = json.loads(target.read_text())
    assert (result["scale"], result["self_ensemble"]) == (2, False)
    assert [row["model"] for row in result["measured"]] == ["bicubic-x2", "promptsr-tiny-x2"]
    for row in result["measured"]:
        assert list(row["sets"]) == ["Set5", "Kodak24"]
        model = load_model(row["model"])
        for name, found in row["sets"].items():
            expected = Evaluation(model.name, 2, list(evaluate(model, find_pairs(bench / name, None))))
            assert found["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-4)
            assert [image["name"] for image in found["images"]] == [image.name for image in expected.images]
    methods = published("I", scale=2, clear_only=False)["method"].unique()
    assert [row["method"] for row in result["published"]] == list(methods)


def test_self_ensemble(result: Result, bench: Path) -> None:
    name = "promptsr-tiny-x2"
    model = self_ensemble(load_model(name))
    expected = Evaluation(model.name, 2, list(evaluate(model, find_pairs(bench / "Set5", None))))
    table = result("evaluate", "-m", name, "--self-ensemble", "--bench", bench, "--set", "Set5")
    [row] = table["measured"]
    assert table["self_ensemble"] and row["model"] == f"{name}+" and list(row["sets"]) == ["Set5"]
    assert row["sets"]["Set5"]["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-4)
    folder = result("evaluate", "-m", name, "--self-ensemble", "--hr", bench / "Set5")
    assert folder["model"] == f"{name}+" and folder["psnr_y"] == row["sets"]["Set5"]["psnr_y"]


def test_a_folder_and_its_json(result: Result, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("b.png", "a.png"):
        encode(Picture(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)), tmp_path / name)
    found = result("evaluate", "--model", "bicubic-x2", "--hr", tmp_path, "--scale", 2)
    assert set(found) == {"model", "scale", "images", "psnr_y", "ssim_y"}
    assert [image["name"] for image in found["images"]] == ["a.png", "b.png"]
    assert found["psnr_y"] == pytest.approx(np.mean([image["psnr_y"] for image in found["images"]]))


def test_bundled_weights_reach_their_score(result: Result, shared_data: Path) -> None:
    set5 = shared_data / "data" / "bench" / "Set5" / "x4"
    found = result("evaluate", "-m", "promptsr-tiny-x4", "--hr", set5 / "HR", "--lr", set5 / "LR", "--scale", 4)
    assert found["psnr_y"] > 31.0
    recorded = next(info for info in list_models() if info.name == "promptsr-tiny-x4").scores["Set5"]
    assert found["psnr_y"] == pytest.approx(recorded["psnr_y"], abs=0.005)
    assert found["ssim_y"] == pytest.approx(recorded["ssim_y"], abs=0.0005)


def test_a_killed_run_goes_on_with_any_number_of_ranks(bench: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(COUNTED)
    seen = tmp_path / "seen.txt"
    request = ["--bench", bench, "--model", "counted:build", "--model", "bicubic-x2"]
    expected = start(tmp_path, *request)
    assert len(seen.read_text()) == 7

    seen.unlink()
    start(tmp_path, *request, "--out", "out", KILLED_AT="4", code=-signal.SIGKILL)  # with three finished
    assert len(seen.read_text()) == 4

    seen.unlink()
    assert start(tmp_path, *request, "--out", "out", ranks=2) == expected
    assert len(seen.read_text()) == 4  # the one under way, and three more
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores", "table.csv", "table.md"]
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 2

    seen.unlink()
    assert start(tmp_path, *request, "--out", "out") == expected
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
        (["-m", "bicubic-x2", "--bench", "{bench}", "--out", "FILE"], "FILE"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--device", "gpu"], 'device "gpu" is not available'),
        (["-m", "bicubic-x2", "--hr", "nowhere"], "nowhere is not a folder"),
        (["-m", "promptsr-x4", "--hr", "nowhere"], "promptsr train"),
        (["-m", "bicubic-x2", "--hr", ".", "--scale", "4"], "x2"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--stability"], "--stability takes the images by --hr"),
        (["-m", "bicubic-x2", "--bench", "damaged"], "Kodak24: 1.png is not an image"),
    ],
)
def test_bad_requests(
    arguments: list[str], hint: str, refused: Callable[..., str], bench: Path, tmp_path: Path
) -> None:
    (tmp_path / "FILE").write_text("kept")
    shutil.copytree(bench, tmp_path / "damaged")
    (tmp_path / "damaged" / "Kodak24" / "1.png").write_bytes(b"damaged")
    assert hint in refused("evaluate", *(word.format(bench=bench) for word in arguments), "--json", "-")


def test_imdn_reaches_its_printed_row(result: Result, shared_data: Path) -> None:
    """The command on a real set; tests/peers has the other checkpoints."""
    checkpoint = shared_data / "peers" / "imdn" / "IMDN_x4.pth"
    if not checkpoint.is_file():
        pytest.skip("no checkpoint of IMDN in the shared folder")
    bench = shared_data / "data" / "bench"
    table = result("evaluate", "--bench", bench, "--set", "Set5", "--scale", 4, "--model", checkpoint)
    assert table["own_lr"] == []
    [measured] = (row["sets"]["Set5"]["psnr_y"] for row in table["measured"])
    [printed] = (row["sets"]["Set5"]["psnr_y"] for row in table["published"] if row["method"] == "IMDN")
    assert measured == pytest.approx(32.211, abs=0.01) and measured == pytest.approx(printed["value"], abs=0.01)
