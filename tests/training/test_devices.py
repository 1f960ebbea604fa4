"""Many processes train as one does, and one that dies does not end the training."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from promptsr.support.errors import ConfigError, UserError
from promptsr.training.devices import launch

if TYPE_CHECKING:
    from tests.training.conftest import Trial


def torchrun(trial: Trial, recipe: Path, *options: str, module: str = "promptsr") -> subprocess.Popen[str]:
    command = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc-per-node", "2", *options]
    train = ["-m", module, "train", str(recipe), "--out", str(trial.output), "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([*command, *train], stderr=subprocess.PIPE, text=True, env=environment)


def test_two_processes_train_as_one_does(trial: Trial, tmp_path: Path) -> None:
    """With a batch that they cannot share evenly, in parts."""
    settings: dict[str, Any] = {"steps": 20, "batch": 5, "accumulate": 2}
    recipe = trial.recipe_file(tmp_path / "recipe.yaml", **settings)
    process = torchrun(trial, recipe)
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    reports, _ = trial.beside("alone").finish(**settings)
    losses = {int(row["step"]): float(row["loss"]) for row in trial.log}
    assert losses == pytest.approx({report.step: report.loss for report in reports}, abs=1e-4)
    assert float(trial.log[-1]["psnr_y"]) == pytest.approx(reports[-1].psnr_y, abs=0.01)  # dB
    assert errors.count("validation PSNR-Y") == 5 and errors.count("Done:") == 1  # one process speaks for all


def test_a_process_that_is_killed_is_started_anew_and_the_training_goes_on(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIES_AFTER", "9")  # a state was saved at step 8
    recipe = trial.recipe_file(tmp_path / "recipe.yaml", steps=12, batch=4, validation=None)
    process = torchrun(trial, recipe, "--max-restarts", "1", module="tests.training.dying")
    _, errors = process.communicate(timeout=250)
    assert process.returncode == 0, errors
    assert trial.last["step"] == 12 and (trial.output / "final.safetensors").exists()
    assert [int(row["step"]) for row in trial.log] == list(range(1, 13))
    assert "Another process of this training is gone" in errors


def test_sigterm_saves_in_every_process_at_the_same_step(trial: Trial, tmp_path: Path) -> None:
    recipe = trial.recipe_file(tmp_path / "recipe.yaml", steps=5000, batch=4, validation=None, validate_every=5000)
    process = torchrun(trial, recipe)
    trial.wait(process, 5)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert f"Stopped at step {trial.last['step']}, which is saved" in errors
    assert int(trial.log[-1]["step"]) == trial.last["step"] < 5000


@pytest.mark.parametrize("name", ["gpu", "cuda:7", "meta"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f'The device "{name}" is not available'):
        launch(name, "fp32")


def test_one_device_for_many_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="device=cpu:0 names one device for 2 processes: give device=cpu"):
        launch("cpu:0", "fp32")


def test_a_gpu_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("promptsr.training.devices.find_device", torch.device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old GPU")
    asked: dict[str, Any] = {}

    class Recorded:
        def __init__(self, **settings: Any) -> None:
            asked.update(settings)

        def launch(self) -> None:
            pass

    monkeypatch.setattr("promptsr.training.devices.Fabric", Recorded)
    _, notes = launch("auto", "bf16")
    assert notes == ("Old GPU has no bfloat16, so the network is trained in float32.",)
    assert (asked["accelerator"], asked["plugins"], asked["devices"]) == ("cuda", None, 1)


def test_bfloat16_is_for_arithmetic_and_not_for_images() -> None:
    class Seen(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 4)
            self.dtypes: list[torch.dtype] = []

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.dtypes = [x.dtype, self.layer(x).dtype]
            return x

    fabric, _ = launch("cpu", "bf16")
    seen = Seen()
    levels = torch.arange(256)[:, None].expand(256, 4) / 255
    assert torch.equal(fabric.setup_module(seen)(levels), levels)
    assert seen.dtypes == [torch.float32, torch.bfloat16]
