"""Time and memory of our network by operation: torch's profiler, summed by kind of operation.

    python benchmarks/operations.py    # to benchmarks/results/profile.md

The forward pass over a whole image, and a training step, each with our kernels and in plain torch; and first, without
the profiler, how long both take with kernels for every layer, with those of attention alone, and without any.
"""

import promptsr.wait_policy  # noqa: F401
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Annotated
from unittest.mock import patch

import torch
import typer
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.contenders import REFERENCE
from benchmarks.passes import SCALE, Settings, clock, training_phases
from benchmarks.report import RESULTS, Threads, command, head, publish_text
from promptsr import kernels
from promptsr.cli.console import check_targets, log, run
from promptsr.model import token_layers
from promptsr.model.network import PromptSR, build_model
from promptsr.support.markdown_tables import markdown
from promptsr.training.optimizers import build_optimizers

# An operation is of the first kind whose pattern is found in its name, in lower case.
_KINDS = {
    "sorting": r"sort",
    "linear layers": r"promptsr(::|_)(linear|feed)|::linear|addmm|^mmbackward",
    "attention": r"promptsr|attention|softmax|argmax",
    "matrix products": r"matmul|bmm|::mm$",
    "convolutions": r"conv",
    "norms and activations": r"norm|gelu|relu|sigmoid",
    "moving data": r"copy|contiguous|clone|cat|stack|gather|scatter|index|roll|permute|transpose|view|reshape|expand"
    r"|flatten|pad|embedding|select|slice|split|take|unbind|fold|shuffle|chunk|squeeze|::to?$|^tbackward",
}
REST = "rest"
OUTSIDE = "between operations"
"""Python and other time outside of operations."""
_MOST = 15


@dataclass
class Cost:
    """Cost in one pass."""

    seconds: float = 0.0
    allocated: float = 0.0
    """Bytes that operations, and those that they call, left allocated when they ended, without the
    scratch memory of our kernels."""
    calls: float = 0.0

    def add(self, seconds: float, allocated: float, calls: float) -> None:
        """Add another cost."""
        self.seconds += seconds
        self.allocated += allocated
        self.calls += calls


@dataclass
class Phase:
    """Cost of one phase of a pass, by the names of the outermost operations."""

    seconds: float = 0.0
    """Time of the whole phase, with that between operations."""
    operations: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))

    def kinds(self) -> dict[str, Cost]:
        """Return the costs by kind, and that between operations."""
        kinds: dict[str, Cost] = {kind: Cost() for kind in (*_KINDS, REST)}
        for name, cost in self.operations.items():
            kinds[kind_of(name)].add(cost.seconds, cost.allocated, cost.calls)
        kinds[OUTSIDE] = Cost(self.seconds - sum(cost.seconds for cost in self.operations.values()))
        return kinds


def kind_of(operation: str) -> str:
    """Return the kind of an operation by its name, such as `aten::linear`, `promptsr::...` or `AddmmBackward0`."""
    return next((kind for kind, pattern in _KINDS.items() if re.search(pattern, operation.lower())), REST)


def profiled(phases: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Phase]:
    """Run the phases one after another, `repeats` times after a warm-up; return the mean cost of each.

    What an operation calls counts with it: the copy in a linear layer is part of the linear layer.
    """
    for phase in phases.values():
        phase()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        for _ in range(repeats):
            for name, phase in phases.items():
                with record_function(name):
                    phase()
    costs = {name: Phase() for name in phases}
    for event in profiler.events() or ():
        if event.cpu_parent is None and event.name in costs:
            cost = costs[event.name]
            cost.seconds += event.cpu_time_total / 1e6 / repeats
            for child in _outermost(event):
                cost.operations[_plain_name(child)].add(
                    child.cpu_time_total / 1e6 / repeats, _allocated(child) / repeats, 1 / repeats
                )
    return costs


def forward_phases(network: PromptSR, height: int, width: int) -> dict[str, Callable[[], object]]:
    """Return the forward pass over one image."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return {"forward": torch.inference_mode()(lambda: network(image))}


def muon_phases(network: PromptSR, batch: int, side: int) -> dict[str, Callable[[], None]]:
    """Return the phases of a training step with Muon's update."""
    optimizers = build_optimizers(network, "muon", 1e-4, 1e-4)
    return training_phases(network, optimizers, batch, side, Settings(torch.get_num_threads()))


def savings_table(side: int, batch: int, patch_side: int, repeats: int) -> str:
    """Return Markdown: medians of whole passes with all kernels, those of attention alone and none, in turns."""
    torch.manual_seed(0)
    network = build_model("promptsr", scale=SCALE)
    jobs: dict[str, tuple[bool, Mapping[str, Callable[[], object]]]] = {
        f"forward, {side} x {side}": (False, forward_phases(network, side, side)),
        f"training step, {batch} of {patch_side} x {patch_side}": (True, muon_phases(network, batch, patch_side)),
    }
    lines = []
    for name, (training, phases) in jobs.items():
        network.train(training)
        taken: dict[str, list[float]] = {way: [] for way in _WAYS}
        for turn in range(repeats + 1):
            for way, context in _WAYS.items():
                with context():
                    seconds = sum(clock(phase) for phase in phases.values())
                if turn > 0:  # the first is a warm-up
                    taken[way].append(seconds)
        typical = {way: median(seconds) for way, seconds in taken.items()}
        fastest = typical[next(iter(_WAYS))]
        lines.append(
            {"pass": name} | {way: f"{1e3 * value:.0f} ms ({value / fastest:.2f})" for way, value in typical.items()}
        )
    return markdown(lines)


def _attention_alone() -> AbstractContextManager[object]:
    """Within this context layers that treat every token alike run in plain torch."""
    return patch.object(token_layers, "usable", lambda x: False)


_WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "all kernels": nullcontext,
    "kernels of attention alone": _attention_alone,
    "plain torch": kernels.disabled,
}


def kinds_table(phases: dict[str, Phase]) -> str:
    """Return Markdown: a line for each kind; for each phase its milliseconds, their share, and megabytes allocated."""
    lines: dict[str, dict[str, str]] = {}
    for name, phase in phases.items():
        kinds = phase.kinds()
        kinds["**all**"] = Cost(phase.seconds, sum(cost.allocated for cost in kinds.values()))
        for kind, cost in kinds.items():
            milliseconds = f"{1e3 * cost.seconds:.1f}"
            lines.setdefault(kind, {"kind": kind}).update(
                {
                    f"{name}, ms": f"**{milliseconds}**" if kind == "**all**" else milliseconds,
                    f"{name}, %": f"{100 * cost.seconds / phase.seconds:.0f}",
                    f"{name}, MB": f"{cost.allocated / 1e6:.1f}",
                }
            )
    return markdown(list(lines.values()))


def operations_table(phase: Phase) -> str:
    """Return Markdown: the operations that took the most time."""
    costliest = sorted(phase.operations.items(), key=lambda item: -item[1].seconds)[:_MOST]
    return markdown(
        [
            {
                "operation": f"`{name}`",
                "kind": kind_of(name),
                "calls": f"{cost.calls:.0f}",
                "ms": f"{1e3 * cost.seconds:.1f}",
                "MB": f"{cost.allocated / 1e6:.1f}",
            }
            for name, cost in costliest
        ]
    )


def operations(
    side: Annotated[int, typer.Option(min=1, help="Of the image of the forward pass, pixels.")] = 128,
    batch: Annotated[int, typer.Option(min=1, help="Of the training step.")] = 4,
    patch_side: Annotated[int, typer.Option("--patch", min=1, help="Side of its LR patches, pixels.")] = 32,
    repeats: Annotated[int, typer.Option(min=1, help="Passes that the figures are the mean of.")] = 3,
    threads: Threads = None,
    output: Annotated[Path, typer.Option(help="Folder for profile.md.")] = RESULTS,
) -> None:
    """Profile, write and print."""
    settings = Settings(threads or torch.get_num_threads())
    target = output / "profile.md"
    check_targets([target], None)
    torch.set_num_threads(settings.threads)
    text = (
        f"{head('Where time and memory go', 'operations', settings)} Network: {REFERENCE}, mean of {repeats} "
        "passes under torch's profiler, which itself takes time at every operation. What an operation calls counts "
        "with it; matrix products are those of explicit attention, and of Muon in its update. MB: 10^6 bytes that "
        "operations left allocated, summed over the pass; what kernels take for themselves is not in it.\n"
    )
    log.print("Timing what kernels save", highlight=False)
    text += f"\n## What the kernels save\n\n{savings_table(side, batch, patch_side, repeats)}"
    for title, context in (("our kernels", nullcontext), ("plain torch", kernels.disabled)):
        log.print(f"Profiling: {title}", highlight=False)
        torch.manual_seed(0)
        network = build_model("promptsr", scale=SCALE)
        with context():
            forward = profiled(forward_phases(network.eval(), side, side), repeats)
            training = profiled(muon_phases(network.train(), batch, patch_side), repeats)
        text += f"\n## With {title}: forward pass, {side} x {side}\n\n{kinds_table(forward)}"
        text += f"\n{operations_table(forward['forward'])}"
        text += (
            f"\n## With {title}: training step, batch {batch} of {patch_side} x {patch_side}\n\n{kinds_table(training)}"
        )
        for name in ("forward", "backward"):
            text += f"\nOf {name}:\n\n{operations_table(training[name])}"
    publish_text(target, text)


def _outermost(event: FunctionEvent) -> Iterable[FunctionEvent]:
    """Return the operations right below a phase, with those of an optimiser in place of its step."""
    for child in event.cpu_children:
        yield from child.cpu_children if child.name.startswith("Optimizer.") else [child]


def _plain_name(event: FunctionEvent) -> str:
    return event.name.removeprefix("autograd::engine::evaluate_function: ")


def _allocated(event: FunctionEvent) -> float:
    """Return the bytes allocated by an operation and those that it calls, less those that each frees itself."""
    return max(event.self_cpu_memory_usage, 0) + sum(map(_allocated, event.cpu_children))


app = command(operations)

if __name__ == "__main__":
    run(app)
