"""A stopped training goes on to the same bits, and no other state is taken for its own."""

from __future__ import annotations

import io
import itertools
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, ConfigError, UserError
from promptsr.support.progress import finish
from promptsr.training import Outcome, train
from promptsr.training.run import Run

if TYPE_CHECKING:
    from tests.training.conftest import Trial


@pytest.fixture(params=["muon", "adam"])
def optimizer(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def whole(trial: Trial, optimizer: str) -> Trial:
    """The same run, without a stop."""
    finished = trial.beside("whole")
    finished.finish(optimizer=optimizer)
    return finished


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("stops", [[1], [4], [6], [5, 7, 11]])
def test_a_stopped_run_resumes_to_the_same_bits(trial: Trial, whole: Trial, optimizer: str, stops: list[int]) -> None:
    for stop in stops:
        trial.stop_after(stop, optimizer=optimizer)
        assert not (trial.output / "final.safetensors").exists()
    torch.rand(5)  # whatever else happens in between
    reports, _ = trial.finish(optimizer=optimizer)
    assert reports[0].step == stops[-1] // 4 * 4 + 1  # from the last saved step on
    for name in ("final.safetensors", "best.safetensors"):
        assert trial.same(trial.tensors(name), whole.tensors(name))
    for part in ("network", "average"):
        assert trial.same(trial.last[part], whole.last[part])
    assert trial.last["step"] == whole.last["step"] == 12 and trial.last["best"] == whole.last["best"]


def test_a_run_killed_while_it_saves_resumes_from_the_state_before(
    trial: Trial, whole: Trial, optimizer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, calls = torch.save, itertools.count(1)

    def killed(state: object, path: Path) -> None:
        save(state, path)
        if next(calls) == 2:
            path.write_bytes(path.read_bytes()[:1000])
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            trial.finish(optimizer=optimizer)
    assert trial.last["step"] == 4
    assert not list(trial.output.glob(".*"))
    trial.finish(optimizer=optimizer)
    assert trial.same(trial.tensors("final.safetensors"), whole.tensors("final.safetensors"))


def test_weights_that_were_better_before_the_stop_stay(trial: Trial) -> None:
    trial.stop_after(4)
    torch.save({**trial.last, "best": 99.0}, trial.output / "last.ckpt")
    before = (trial.output / "best.safetensors").read_bytes()
    trial.finish()
    assert (trial.output / "best.safetensors").read_bytes() == before
    assert trial.last["best"] == 99.0


def test_a_folder_with_a_run_is_resumed_or_refused(trial: Trial) -> None:
    _, outcome = trial.finish(steps=4)
    before = files(trial.output)
    changes = {"lr": 1e-4, "seed": 1, "batch": 3, "patch": 4, "optimizer": "adam", "steps": 13, "ema": 0.5}
    for name, value in changes.items():
        with pytest.raises(ConfigError, match=rf"another {name}: choose another --out"):
            trial.finish(**{"steps": 4, name: value})
    wider = replace(trial, model=replace(trial.model, channels=12, heads=3))
    with pytest.raises(ConfigError, match=r"another model.channels, model.heads: choose another --out"):
        wider.finish(steps=4)
    with pytest.raises(ConfigError, match="holds a run already: go on with --resume"):
        trial.finish(steps=4, resume=False)
    assert files(trial.output) == before
    weights = trial.tensors("best.safetensors")
    assert trial.finish(steps=4) == ([], outcome)  # nothing is left to do
    assert trial.same(trial.tensors("best.safetensors"), weights)


def test_the_way_a_run_is_watched_may_change(trial: Trial) -> None:
    trial.stop_after(4, steps=8, threads=1)
    moved = trial.beside("moved")
    trial.output.rename(moved.output)
    reports, _ = moved.finish(steps=8, report_every=4, validation_images=1, threads=2)
    assert [report.step for report in reports] == [8]


def test_damaged_and_foreign_states_are_refused_and_no_program_is_run(trial: Trial, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "ran",)

    def saved(state: object) -> bytes:
        file = io.BytesIO()
        torch.save(state, file)
        return file.getvalue()

    trial.finish(steps=1, validation=None)
    path, state = trial.output / "last.ckpt", trial.last
    whole = path.read_bytes()
    cut = [whole[: int(keep * len(whole))] for keep in (0, 0.01, 0.5, 0.9, 0.999)]
    foreign: list[object] = [5, [], {}, {"recipe": 3}, {"recipe": {}, "step": 1}, {"model": Bomb()}]
    partial = [{name: value for name, value in state.items() if name != missing} for missing in state]
    for data in (*cut, b"no state", *map(saved, (*foreign, *partial))):
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged: remove it to start anew\."):
            trial.finish(steps=1, validation=None)
    assert not (tmp_path / "ran").exists()


def test_a_loss_of_nan_stops_the_run_and_keeps_the_state(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = PromptSR.forward, itertools.count(1)

    def failing(self: PromptSR, image: Tensor) -> Tensor:
        out = forward(self, image)
        return out * math.nan if self.training and next(calls) == 5 else out

    monkeypatch.setattr(PromptSR, "forward", failing)
    with pytest.raises(
        UserError, match=r"The loss became NaN or infinite after step 6: .*last\.ckpt is whole; .*init=.*last\.ckpt"
    ):
        trial.finish(report_every=3)
    assert trial.last["step"] == 4
    for name in ("network", "average"):
        assert all(bool(value.isfinite().all()) for value in trial.last[name].values())


def test_a_damaged_state_names_the_one_before_which_goes_on(trial: Trial, whole: Trial, optimizer: str) -> None:
    trial.stop_after(9, optimizer=optimizer)
    last = trial.output / "last.ckpt"
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"last\.ckpt is damaged: copy .*previous\.ckpt over it"):
        trial.finish(optimizer=optimizer)
    shutil.copy(trial.output / "previous.ckpt", last)
    reports, _ = trial.finish(optimizer=optimizer)
    assert reports[0].step == 5
    assert trial.same(trial.tensors("final.safetensors"), whole.tensors("final.safetensors"))


def test_the_log_has_every_step_once_after_a_stop_and_leftovers_are_removed(trial: Trial) -> None:
    trial.stop_after(6)
    with (trial.output / "log.csv").open("a") as file:
        file.write("7,0.5")  # killed in the middle of a row
    (trial.output / ".last-abc123.ckpt").write_bytes(b"half")
    trial.finish()
    assert [row["step"] for row in trial.log] == [*map(str, range(1, 13))]
    assert not list(trial.output.glob(".*"))


def test_images_that_changed_are_told_before_anything_is_trained(trial: Trial, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    shutil.copytree(trial.images / "train", folder)
    trial.stop_after(4, data=(str(folder),))
    before = files(trial.output)
    (folder / "1.png").rename(tmp_path / "1.png")
    with pytest.raises(UserError, match=r"1\.png has vanished or changed since the run .*: restore the images"):
        trial.finish(data=(str(folder),))
    (tmp_path / "1.png").rename(folder / "1.png")
    shutil.copy(folder / "1.png", folder / "new.png")
    with pytest.raises(UserError, match=r"new\.png was added since the run"):
        trial.finish(data=(str(folder),))
    assert files(trial.output) == before
    (folder / "new.png").unlink()
    trial.finish(data=(str(folder),))


def test_a_run_from_before_lr_folders_resumes_to_the_same_bits(trial: Trial, whole: Trial, optimizer: str) -> None:
    trial.stop_after(5, optimizer=optimizer)
    state = trial.last
    old = {key: value for key, value in state["recipe"].items() if not key.endswith("_lr") or key == "matrix_lr"}
    assert len(old) == len(state["recipe"]) - 2
    torch.save({**state, "recipe": old}, trial.output / "last.ckpt")
    trial.finish(optimizer=optimizer)
    assert trial.same(trial.tensors("final.safetensors"), whole.tensors("final.safetensors"))


def test_own_lr_images_belong_to_the_run(trial: Trial, tmp_path: Path) -> None:
    lr = tmp_path / "lr"
    lr.mkdir()
    for path in (trial.images / "train").iterdir():
        with Image.open(path) as image:
            image.resize((28, 24), Image.Resampling.BOX).save(lr / path.name)
    trial.beside("whole").finish(data_lr=(str(lr),))
    trial.stop_after(5, data_lr=(str(lr),))
    lr = lr.rename(tmp_path / "moved")
    before = (lr / "1.png").read_bytes()
    Image.new("RGB", (28, 24)).save(lr / "1.png")
    with pytest.raises(UserError, match=r"1\.png has vanished or changed since the run"):
        trial.finish(data_lr=(str(lr),))
    (lr / "1.png").write_bytes(before)
    with pytest.raises(UserError, match=r"0\.png has vanished or changed since the run"):
        trial.finish()
    trial.finish(data_lr=(str(lr),))
    final, whole = (each.tensors("final.safetensors") for each in (trial, trial.beside("whole")))
    assert trial.same(final, whole)
    bicubic = trial.beside("bicubic")
    bicubic.stop_after(5)
    with pytest.raises(UserError, match=r"0\.png was added since the run"):
        bicubic.finish(data_lr=(str(lr),))


def test_infinite_weights_are_not_saved(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss that is reported is from before the step, so it may not show what the step has done."""
    advance = Run.advance

    def spoiling(self: Run, batches: Iterator[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        result = advance(self, batches)
        if self.step == 8:
            next(self.network.parameters()).data.fill_(math.inf)
        return result

    monkeypatch.setattr(Run, "advance", spoiling)
    with pytest.raises(UserError, match=r"The weights contain NaN or infinity after step 8: .*last\.ckpt is whole"):
        trial.finish(validation=None)
    assert trial.last["step"] == 4


def test_a_gradient_of_nan_stops_the_run(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = PromptSR.forward

    def rootless(self: PromptSR, image: Tensor) -> Tensor:
        out = forward(self, image)
        return out + (out - out.detach()).square().sum().sqrt() if self.training else out  # 0, whose slope is NaN

    monkeypatch.setattr(PromptSR, "forward", rootless)
    with pytest.raises(UserError, match=r"The loss became NaN or infinite after step 1: start anew with a lower lr"):
        trial.finish()
    assert not (trial.output / "last.ckpt").exists()


def test_a_run_that_is_asked_to_stop_saves_there_and_resumes_to_the_same_bits(
    trial: Trial, whole: Trial, optimizer: str
) -> None:
    calls = itertools.count(1)
    work = train(trial.recipe(optimizer=optimizer), trial.output, should_stop=lambda: next(calls) == 6)
    outcome = finish(work)
    assert outcome == Outcome(6, False, None) and trial.last["step"] == 6
    reports, _ = trial.finish(optimizer=optimizer)
    assert reports[0].step == 7
    assert trial.same(trial.tensors("final.safetensors"), whole.tensors("final.safetensors"))
