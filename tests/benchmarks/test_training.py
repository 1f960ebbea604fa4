"""The benchmark of training: what a loop is, and that its figures follow from what the clock said."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import training
from benchmarks.contenders import Contender
from benchmarks.passes import Settings
from benchmarks.training import Loop, parse_loop, training_step
from promptsr.support.errors import ConfigError, UserError
from tests.benchmarks.conftest import Invoke


def test_names_of_loops() -> None:
    settings = Settings(1)
    half = Settings(1, dtype="bfloat16")
    assert parse_loop("imdn", settings) == Loop("imdn", "imdn", settings, False)
    assert parse_loop(" promptsr-x4:bfloat16", settings) == Loop("promptsr-x4:bfloat16", "promptsr-x4", half, False)
    assert parse_loop("promptsr-x4-torch:bfloat16:compile", settings).compiled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "Unknown model 'nonsense'"),
        ("imdn:float16", "takes names with :bfloat16"),
        ("imdn:compile:bfloat16", "in this order"),
        ("promptsr-tiny-x2", "networks for x4, not promptsr-tiny-x2"),
        ("", "takes names"),
    ],
)
def test_other_loops_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_loop(text, Settings(1))


class Layer(nn.Module):
    """Four times larger, and one weight: the loss falls as it nears the mean of the target."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[torch.Size, bool]] = []

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen.append((image.shape, self.training))
        batch, channels, height, width = image.shape
        return self.weight.expand(batch, channels, 4 * height, 4 * width)


def test_a_step_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Layer().eval()
    monkeypatch.setattr(training, "build", lambda name: Contender(name, network))
    step = training_step(Loop("toy", "toy", Settings(1), False), 2, 8)
    assert step is not None
    for _ in range(3):
        step()
    assert network.seen == [((2, 3, 8, 8), True)] * 3
    assert network.weight.item() == pytest.approx(3e-4, rel=1e-3)  # three steps of Adam at 1e-4, towards 1/2
    assert network.weight.grad is None


def test_figures_follow_from_what_the_clock_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke
) -> None:
    seconds = {"imdn": [9.0, 4.0, 5.0, 3.0], "promptsr-x4": [9.0, 2.0, 2.5, 1.0]}  # the first run does not count

    def planted(loop: Loop, batch: int, patch: int) -> Callable[[], float] | None:
        assert (batch, patch) == (3, 10)
        return None if loop.model == "omnisr" else lambda: seconds[loop.model].pop(0)

    monkeypatch.setattr(training, "training_step", planted)
    monkeypatch.setattr("benchmarks.speed.clock", lambda run: run())
    sizes = ("--batch", 3, "--patch", 10, "--repeats", 3, "--threads", 1)
    invoke(training.app, "--loops", "omnisr,imdn", *sizes, "--output", tmp_path)
    with (tmp_path / "training.csv").open() as file:
        [row] = csv.DictReader(file)
    assert row["model"] == "imdn" and float(row["seconds"]) == 4 and float(row["ratio_to_promptsr"]) == 2
    assert float(row["steps_per_second"]) == 0.25 and (row["batch"], row["patch"]) == ("3", "10")
    assert "| imdn | float32 |  | 4.000 | 0.250 | 2.00 |" in (tmp_path / "training.md").read_text()


def test_nothing_that_can_be_built_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "training_step", lambda loop, *_: None if loop.model == "omnisr" else lambda: None)
    with pytest.raises(UserError, match="install spandrel"):
        training.measure([parse_loop("omnisr", Settings(1))], 1, 8, 1)
