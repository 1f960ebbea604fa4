"""What a training yields and writes, and what it starts from."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import Tensor

from promptsr import kernels
from promptsr.checkpoints import read_info, save_checkpoint
from promptsr.config import ModelConfig
from promptsr.data import PatchSampler
from promptsr.errors import CheckpointError, ConfigError, UserError
from promptsr.evaluate import evaluate, find_pairs
from promptsr.model.network import PromptSR
from promptsr.optimizers import rate
from promptsr.zoo import load_model

if TYPE_CHECKING:
    from tests.train.conftest import Trial


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_training_lowers_the_loss_and_raises_the_psnr(trial: Trial, optimizer: str) -> None:
    reports, path = trial.finish(steps=80, optimizer=optimizer, lr=3e-3, validate_every=40)
    assert [report.step for report in reports] == list(range(1, 81))
    first, last = (sum(report.loss for report in part) / 10 for part in (reports[:10], reports[-10:]))
    assert last < 0.6 * first
    scores = [report.psnr_y for report in reports if report.psnr_y is not None]
    assert len(scores) == 2 and scores[1] > scores[0] + 0.5
    assert path == trial.output / "best.safetensors"


def test_reports_and_files_say_what_happened(trial: Trial) -> None:
    reports, best = trial.finish(steps=10, report_every=3)
    assert [report.step for report in reports] == [3, 4, 6, 8, 9, 10]
    assert [report.step for report in reports if report.psnr_y is not None] == [4, 8, 10]
    for report in reports:
        assert report.steps == 10 and report.lr == pytest.approx(6e-4 * rate("cosine", report.step - 1, 10, 2))
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(reports))

    # The reported PSNR is that of the averaged weights over the validation folder.
    scores = [score.psnr_y for score in evaluate(load_model(best), find_pairs(trial.images / "val", None))]
    highest = max(report.psnr_y for report in reports if report.psnr_y is not None)
    assert sum(scores) / 2 == pytest.approx(highest, abs=1e-9) == read_info(best)["validation_psnr_y"]
    assert trial.same(trial.tensors("final.safetensors"), trial.last["average"])
    assert not trial.same(trial.last["network"], trial.last["average"])

    final = load_model(trial.output / "final.safetensors")
    assert isinstance(final.network, PromptSR) and final.network.config == trial.model
    info = read_info(trial.output / "final.safetensors")
    assert info["step"] == 10 and info["train"]["data"] == ["train"] and info["train"]["validation"] == "val"
    assert str(trial.output) not in str(info) and str(trial.images) not in str(info)

    with (trial.output / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), float(row["loss"])) for row in rows] == [(r.step, r.loss) for r in reports]
    names = {path.name for path in trial.output.iterdir()}
    assert names == {"last.pt", "best.safetensors", "final.safetensors", "log.csv"}


def test_losses_between_reports_are_averaged(trial: Trial, tmp_path: Path) -> None:
    every, _ = trial.finish(steps=6, validation=None)
    other = replace(trial, output=tmp_path / "other")
    thirds, path = other.finish(steps=6, validation=None, report_every=3)
    losses = [report.loss for report in every]
    assert [report.step for report in thirds] == [3, 4, 6]  # the fourth step saves, and reports
    expected = [sum(losses[:3]) / 3, losses[3], sum(losses[4:]) / 2]
    assert [report.loss for report in thirds] == pytest.approx(expected, rel=1e-6)
    assert path == other.output / "final.safetensors" and not (other.output / "best.safetensors").exists()


def test_every_step_has_a_batch_of_its_own(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[bytes] = []
    batch = PatchSampler.batch

    def watched(self: PatchSampler, size: int, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        lr, hr = batch(self, size, seed)
        drawn.append(lr.numpy().tobytes())
        return lr, hr

    monkeypatch.setattr(PatchSampler, "batch", watched)
    trial.finish(steps=6, validation=None)
    replace(trial, output=trial.output / "other").finish(steps=6, validation=None, seed=1)
    assert len(drawn) == len(set(drawn)) == 12


def test_the_gradient_is_clipped(trial: Trial) -> None:
    """With Adam a rate of zero would hide it: the first moment after one step is a tenth of the clipped gradient."""
    trial.finish(steps=1, optimizer="adam", clip=1e-3, validation=None)
    moments = [state["exp_avg"] for state in trial.last["optimizers"][0]["state"].values()]
    norm = np.sqrt(sum(float(moment.double().square().sum()) for moment in moments))
    assert norm == pytest.approx(0.1 * 1e-3, rel=1e-3)


def initial(path: Path, config: ModelConfig) -> dict[str, Tensor]:
    torch.manual_seed(99)
    state = PromptSR(config).state_dict()
    save_checkpoint(path, config, state, {})
    return state


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_init_from_another_scale_takes_over_the_body(trial: Trial, tmp_path: Path, optimizer: str) -> None:
    start = initial(tmp_path / "x2.safetensors", trial.model)
    larger = replace(trial, model=replace(trial.model, scale=3))
    still: dict[str, Any] = {"steps": 1, "lr": 0.0, "matrix_lr": 0.0, "validation": None, "optimizer": optimizer}
    larger.finish(init=str(tmp_path / "x2.safetensors"), **still)
    trained = larger.tensors("final.safetensors")
    body = {name for name in start if not name.startswith("decoder.")}
    assert len(start.keys() - body) == 2
    assert trial.same({name: trained[name] for name in body}, {name: start[name] for name in body})
    assert trained["decoder.0.weight"].shape == (27, 8, 3, 3)


def test_init_from_the_same_scale_takes_over_all(trial: Trial, tmp_path: Path) -> None:
    start = initial(tmp_path / "x2.safetensors", trial.model)
    trial.finish(init=str(tmp_path / "x2.safetensors"), steps=1, lr=0.0, matrix_lr=0.0)
    assert trial.same(trial.tensors("final.safetensors"), start)


def test_unusable_initial_weights_are_refused(trial: Trial, tmp_path: Path) -> None:
    initial(tmp_path / "wide.safetensors", replace(trial.model, channels=12))
    with pytest.raises(CheckpointError, match="channels"):
        trial.finish(init=str(tmp_path / "wide.safetensors"))
    with pytest.raises(CheckpointError, match="no weights file"):
        trial.finish(init=str(tmp_path / "nothing.safetensors"))
    assert not trial.output.exists()


@pytest.mark.parametrize("name", ["steps", "batch", "patch", "report_every", "validate_every"])
def test_impossible_counts_are_refused(trial: Trial, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least 1, not 0"):
        trial.config(**{name: 0})


def test_unusable_data_is_refused_before_anything_is_written(trial: Trial, tmp_path: Path) -> None:
    changes: list[tuple[dict[str, Any], str]] = [
        ({"data": (str(tmp_path / "nowhere"),)}, "nowhere is not a folder"),
        ({"patch": 100}, "at least 200 pixels"),
        ({"validation": str(tmp_path / "nowhere")}, "nowhere is not a folder"),
    ]
    for change, message in changes:
        with pytest.raises(UserError, match=message):
            trial.finish(**change)
    assert not trial.output.exists()


def test_bf16_learns_in_fp32_weights(trial: Trial) -> None:
    settings: dict[str, Any] = {"steps": 30, "lr": 3e-3, "validate_every": 30}
    reports, path = trial.finish(precision="bf16", **settings)
    assert sum(report.loss for report in reports[-5:]) < 0.8 * sum(report.loss for report in reports[:5])
    assert {value.dtype for value in trial.tensors(path.name).values()} == {torch.float32}
    exact = next(replace(trial, output=trial.output / "fp32").start(**settings))
    assert exact.loss != reports[0].loss and exact.loss == pytest.approx(reports[0].loss, rel=0.02)


def test_notes_reach_the_reports_once_and_never_the_log(trial: Trial) -> None:
    with kernels.disabled():
        reports, _ = trial.finish()
    assert [len(report.notes) for report in reports] == [1] + [0] * 11
    assert "notes" not in (trial.output / "log.csv").read_text()
