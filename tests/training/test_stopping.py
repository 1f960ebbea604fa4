"""Runs in processes of their own: killed at any moment, asked to stop, out of space; and what is left of them."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from tests.training.conftest import Trial

STEPS = 40


def start(
    trial: Trial, recipe: Path, *arguments: str, module: str = "promptsr", before: Callable[[], None] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", module, "train", str(recipe), "--out", str(trial.output), *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=before)


def logged(trial: Trial) -> int:
    """The last step in the log."""
    return int(trial.log[-1]["step"]) if trial.log else 0


@pytest.fixture
def recipe(trial: Trial, tmp_path: Path) -> Path:
    return trial.recipe_file(tmp_path / "recipe.yaml", steps=STEPS, validate_every=7, validation_images=1)


@pytest.fixture
def whole(trial: Trial) -> Trial:
    """The same run, without a stop."""
    finished = trial.beside("whole")
    finished.finish(steps=STEPS, validate_every=7, validation_images=1)
    return finished


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(
    trial: Trial, recipe: Path, whole: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng()
    for least in (1, 8):  # the first may come before any state is saved, the second leaves one
        monkeypatch.setenv("DIES_AFTER", str(logged(trial) // 7 * 7 + rng.integers(least, 15)))
        monkeypatch.setenv("DIES_IN", str(rng.random() / 20))
        _, errors = (process := start(trial, recipe, "--resume", module="tests.training.dying")).communicate()
        assert process.returncode == -signal.SIGPROF, errors
    assert 0 < trial.last["step"] < STEPS
    _, errors = (process := start(trial, recipe, "--resume")).communicate()
    assert process.returncode == 0, errors
    for name in ("final.safetensors", "final-raw.safetensors", "best.safetensors"):
        assert trial.same(trial.tensors(name), whole.tensors(name))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_saves_at_the_very_step_and_ends_the_run(
    trial: Trial, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    recipe = trial.recipe_file(tmp_path / "recipe.yaml", steps=5000, validate_every=7, validation_images=1)
    process = start(trial, recipe)
    trial.wait(process, 9)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    step = trial.last["step"]
    assert step >= 9 and logged(trial) == step
    assert f"Stopped at step {step}, which is saved: --resume goes on from there." in errors
    assert "Traceback" not in errors and not (trial.output / "final.safetensors").exists()


def test_a_signal_does_not_silence_an_error(trial: Trial, recipe: Path) -> None:
    """`torchrun` sends SIGTERM to a process whose neighbour is gone, while that is about to say so."""
    trial.stop_after(7, steps=STEPS, validate_every=7, validation_images=1)
    script = """
import os, signal
from promptsr import cli
from promptsr.cli.console import log
tell = log.print
def late(*text, **options):
    if "Error:" in map(str, text):
        os.kill(os.getpid(), signal.SIGTERM)
    tell(*text, **options)
log.print = late
cli.main()
"""
    command = [sys.executable, "-c", script, "train", str(recipe), "--out", str(trial.output)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2, ended.stderr
    assert "holds a run already: go on with --resume" in ended.stderr


def test_a_full_disk_is_one_sentence_and_the_state_before_is_whole(trial: Trial, recipe: Path) -> None:
    trial.stop_after(7, steps=STEPS, validate_every=7, validation_images=1)
    before = (trial.output / "last.ckpt").read_bytes()

    def fill() -> None:
        """Lets no file grow beyond half a state, as if the disk were full then."""
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, resource.RLIM_INFINITY))

    _, errors = (process := start(trial, recipe, "--resume", before=fill)).communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in errors and "Cannot write" in errors
    assert (trial.output / "last.ckpt").read_bytes() == before and not list(trial.output.glob(".*"))
