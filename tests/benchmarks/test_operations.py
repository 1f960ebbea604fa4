"""The profile: every operation counts once, under its kind, with what it calls."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks import operations
from benchmarks.operations import OUTSIDE, REST, kind_of, profiled
from promptsr import kernels
from promptsr.model.network import PromptSR, build_model
from tests.benchmarks.conftest import Invoke

NETWORK = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64))


def build_small() -> PromptSR:
    """A network of one block."""
    return build_model("promptsr-tiny", channels=8, heads=1, groups=1, blocks_per_group=1)


KINDS = {
    "attention": "aten::scaled_dot_product_attention promptsr::attend_all aten::softmax "
    "GeneratedBackwardFor_promptsr_attend_all_defaultBackward",
    "linear layers": "aten::linear promptsr::linear promptsr::feed_forward AddmmBackward0 MmBackward0 "
    "GeneratedBackwardFor_promptsr_feed_forward_defaultBackward",
    "matrix products": "aten::mm aten::matmul BmmBackward0",
    "convolutions": "aten::conv2d ConvolutionBackward0",
    "norms and activations": "aten::layer_norm GeluBackward0",
    "sorting": "aten::argsort",
    "moving data": "aten::gather EmbeddingBackward0 aten::t",
    REST: "aten::tanh aten::add",
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str) -> None:
    assert {operation: kind_of(operation) for operation in KINDS[kind].split()} == dict.fromkeys(
        KINDS[kind].split(), kind
    )


def test_every_operation_counts_once() -> None:
    tokens = torch.rand(256, 64)
    result = torch.zeros(())

    def forward() -> None:
        nonlocal result
        result = NETWORK(tokens).sort(dim=0).values.sum()

    phases = profiled({"forward": forward, "backward": lambda: result.backward()}, repeats=3)
    there, back = phases["forward"], phases["backward"]
    assert there.operations["aten::linear"].calls == pytest.approx(2)
    assert there.operations["aten::gelu"].calls == pytest.approx(1)
    assert "aten::addmm" not in there.operations  # within the linear layer
    assert there.operations["aten::gelu"].allocated == pytest.approx(tokens.nbytes)
    assert there.operations["aten::linear"].allocated == pytest.approx(2 * tokens.nbytes)
    assert back.operations["AddmmBackward0"].calls == pytest.approx(2)
    for phase in phases.values():
        kinds = phase.kinds()
        assert sum(cost.seconds for cost in kinds.values()) == pytest.approx(phase.seconds)
        assert kinds[OUTSIDE].seconds >= 0 and phase.seconds > 0
    assert there.kinds()["sorting"].calls == pytest.approx(1)


def test_the_step_of_an_optimiser_is_looked_into() -> None:
    phases = profiled(operations.muon_phases(build_small(), 1, 8), repeats=1)
    assert list(phases) == ["forward", "backward", "update"]
    assert "matrix products" in {kind_of(name) for name in phases["update"].operations}  # the products of Muon
    assert not [name for name in phases["update"].operations if name.startswith("Optimizer.")]


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    monkeypatch.setattr(operations, "build_model", lambda *_, **__: build_small())
    invoke(operations.app, "--side", 8, "--batch", 1, "--patch", 8, "--repeats", 1, "--output", tmp_path)
    text = (tmp_path / "profile.md").read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert [heading.split(":")[0] for heading in headings] == [
        "## What the kernels save",
        *["## With our kernels"] * 2,
        *["## With plain torch"] * 2,
    ]
    assert "python benchmarks/operations.py" in text and "| kind | forward, ms | forward, % | forward, MB |" in text


def test_savings_are_measured_with_what_they_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operators are counted while each way runs: all kernels, those of attention alone, none."""
    if kernels.why_not():
        pytest.skip(str(kernels.why_not()))
    monkeypatch.setattr(operations, "build_model", lambda *_, **__: build_small())
    used: list[set[str]] = []

    def clock(phase: Callable[[], object]) -> float:
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            phase()
        names = {event.name for event in profiler.events() or ()}
        used.append({name for name in ("promptsr::attend_groups", "promptsr::linear") if name in names})
        return float(len(used))

    monkeypatch.setattr(operations, "clock", clock)
    table = operations.savings_table(8, 1, 8, repeats=1)
    assert used[:3] == [{"promptsr::attend_groups", "promptsr::linear"}, {"promptsr::attend_groups"}, set()]
    # Turns of three ways: 4, 5 and 6 in the second turn are what counts.
    assert "| 4000 ms (1.00) | 5000 ms (1.25) | 6000 ms (1.50) |" in table
