"""Where the time and the memory of our network go: torch's profiler, summed by kind of operation.

    python benchmarks/operations.py    # to benchmarks/results/profile.md

The forward pass over a whole image, and a training step, each with our kernels and in plain torch; and first, without
the profiler, how long both take with kernels for every layer, with those of attention alone, and without any.
"""

import promptsr.wait_policy  # noqa: F401
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
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
from benchmarks.machine import describe, started_as
from benchmarks.passes import Settings, clock
from promptsr import kernels
from promptsr.cli.console import check_targets, log, run
from promptsr.model import token_layers
from promptsr.model.network import PromptSR, build_model
from promptsr.support.files import write_text
from promptsr.support.markdown_tables import markdown
from promptsr.training.optimizers import build_optimizers

RESULTS = Path(__file__).parent / "results"
# An operation is of the first kind whose pattern is found in its name, in lower case.
_KINDS = {
    "sorting": r"sort",
    "linear layers": r"promptsr::(linear|feed)|::linear|addmm|^mmbackward",
    "attention": r"promptsr|attention|softmax|argmax",
    "matrix products": r"matmul|bmm|::mm$",
    "convolutions": r"conv",
    "norms and activations": r"norm|gelu|relu|sigmoid",
    "moving data": r"copy|contiguous|clone|cat|stack|gather|scatter|index|roll|permute|transpose|view|reshape|expand"
    r"|flatten|pad|embedding|select|slice|split|take|unbind|fold|shuffle|chunk|squeeze|::to?$|^tbackward",
}
REST = "rest"
OUTSIDE = "between operations"
"""Python, and all else that the profiler sees no operation in."""
_MOST = 15


@dataclass
class Cost:
    """Of one pass."""

    seconds: float = 0.0
    allocated: float = 0.0
    """Bytes that operations, and those that they call, left allocated when they ended. What kernels of C++ take for
    themselves is not in it."""
    calls: float = 0.0

    def add(self, seconds: float, allocated: float, calls: float) -> None:
        """Adds another cost."""
        self.seconds += seconds
        self.allocated += allocated
        self.calls += calls


@dataclass
class Phase:
    """What one phase of a pass cost, by the names of the outermost operations."""

    seconds: float = 0.0
    """All of it, what lies between operations too."""
    operations: dict[str, Cost] = field(default_factory=lambda: defaultdict(Cost))

    def kinds(self) -> dict[str, Cost]:
        """The same by kind, and what lies between operations."""
        kinds: dict[str, Cost] = {kind: Cost() for kind in (*_KINDS, REST)}
        for name, cost in self.operations.items():
            kinds[kind_of(name)].add(cost.seconds, cost.allocated, cost.calls)
        kinds[OUTSIDE] = Cost(self.seconds - sum(cost.seconds for cost in self.operations.values()))
        return kinds


def kind_of(operation: str) -> str:
    """The kind of an operation by its name, such as `aten::linear`, `promptsr::...` or `AddmmBackward0`."""
    return next((kind for kind, pattern in _KINDS.items() if re.search(pattern, operation.lower())), REST)


def profiled(phases: dict[str, Callable[[], object]], repeats: int) -> dict[str, Phase]:
    """Runs the phases one after another, `repeats` times after once for nothing; the mean cost of each.

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
    """The forward pass over one image."""
    image = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    return {"forward": torch.inference_mode()(lambda: network(image))}


def training_phases(network: PromptSR, batch: int, side: int) -> dict[str, Callable[[], object]]:
    """A training step: forward with the loss, backward, and Muon's update."""
    generator = torch.Generator().manual_seed(0)
    scale = network.config.scale
    lr = torch.rand(batch, 3, side, side, generator=generator)
    hr = torch.rand(batch, 3, scale * side, scale * side, generator=generator)
    optimizers = build_optimizers(network, "muon", 1e-4, 1e-4)
    loss = torch.zeros(())

    def forward() -> None:
        nonlocal loss
        loss = (network(lr) - hr).abs().mean()

    def update() -> None:
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return {"forward": forward, "backward": lambda: loss.backward(), "update": update}


def savings_table(side: int, batch: int, patch_side: int, repeats: int) -> str:
    """Markdown: whole passes with all kernels, with those of attention alone and with none, in turns; the median."""
    torch.manual_seed(0)
    network = build_model("promptsr", scale=4)
    jobs = {
        f"forward, {side} x {side}": (False, forward_phases(network, side, side)),
        f"training step, {batch} of {patch_side} x {patch_side}": (True, training_phases(network, batch, patch_side)),
    }
    lines = []
    for name, (training, phases) in jobs.items():
        network.train(training)
        taken: dict[str, list[float]] = {way: [] for way in _WAYS}
        for turn in range(repeats + 1):
            for way, context in _WAYS.items():
                with context():
                    seconds = sum(clock(phase) for phase in phases.values())
                if turn > 0:  # the first is for nothing
                    taken[way].append(seconds)
        typical = {way: median(seconds) for way, seconds in taken.items()}
        fastest = typical[next(iter(_WAYS))]
        lines.append(
            {"pass": name} | {way: f"{1e3 * value:.0f} ms ({value / fastest:.2f})" for way, value in typical.items()}
        )
    return markdown(lines)


def _attention_alone() -> AbstractContextManager[object]:
    """Layers that treat every token alike run in plain torch."""
    return patch.object(token_layers, "usable", lambda x: False)


_WAYS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "all kernels": nullcontext,
    "kernels of attention alone": _attention_alone,
    "plain torch": kernels.disabled,
}


def kinds_table(phases: dict[str, Phase]) -> str:
    """Markdown: a line for each kind; for each phase its milliseconds, their share, and the megabytes allocated."""
    kinds = {name: phase.kinds() for name, phase in phases.items()}
    return markdown(
        [
            {"kind": kind}
            | {
                column: text
                for name, phase in phases.items()
                for column, text in {
                    f"{name}, ms": f"{1e3 * kinds[name][kind].seconds:.1f}",
                    f"{name}, %": f"{100 * kinds[name][kind].seconds / phase.seconds:.0f}",
                    f"{name}, MB": f"{kinds[name][kind].allocated / 1e6:.1f}",
                }.items()
            }
            for kind in (*_KINDS, REST, OUTSIDE)
        ]
        + [
            {"kind": "**all**"}
            | {
                column: text
                for name, phase in phases.items()
                for column, text in {
                    f"{name}, ms": f"**{1e3 * phase.seconds:.1f}**",
                    f"{name}, %": "100",
                    f"{name}, MB": f"{sum(cost.allocated for cost in kinds[name].values()) / 1e6:.1f}",
                }.items()
            }
        ]
    )


def operations_table(phase: Phase) -> str:
    """Markdown: the operations that took the most time."""
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
    threads: Annotated[int | None, typer.Option(help="Of the CPU.", show_default="as torch chooses")] = None,
    output: Annotated[Path, typer.Option(help="Folder for profile.md.")] = RESULTS,
) -> None:
    """Profile, write and print."""
    settings = Settings(threads or torch.get_num_threads())
    target = output / "profile.md"
    check_targets([target], None)
    torch.set_num_threads(settings.threads)
    command = started_as("operations")
    text = (
        f"# Where time and memory go\n\n`{command}`\n\n{describe(settings)} Network: {REFERENCE}, mean of {repeats} "
        "passes under torch's profiler, which itself takes time at every operation. What an operation calls counts "
        "with it; matrix products are those of explicit attention, and of Muon in its update. MB: 10^6 bytes that "
        "operations left allocated, summed over the pass; what kernels take for themselves is not in it.\n"
    )
    log.print("Timing what kernels save", highlight=False)
    text += f"\n## What the kernels save\n\n{savings_table(side, batch, patch_side, repeats)}"
    for title, context in (("our kernels", nullcontext), ("plain torch", kernels.disabled)):
        log.print(f"Profiling: {title}", highlight=False)
        torch.manual_seed(0)
        network = build_model("promptsr", scale=4)
        with context():
            forward = profiled(forward_phases(network.eval(), side, side), repeats)
            training = profiled(training_phases(network.train(), batch, patch_side), repeats)
        text += f"\n## With {title}: forward pass, {side} x {side}\n\n{kinds_table(forward)}"
        text += f"\n{operations_table(forward['forward'])}"
        text += (
            f"\n## With {title}: training step, batch {batch} of {patch_side} x {patch_side}\n\n{kinds_table(training)}"
        )
        for name in ("forward", "backward"):
            text += f"\nOf {name}:\n\n{operations_table(training[name])}"
    write_text(target, text)
    print(text)


def _outermost(event: FunctionEvent) -> Iterable[FunctionEvent]:
    """The operations right below a phase; those of an optimiser's step, which is none itself."""
    for child in event.cpu_children:
        yield from child.cpu_children if child.name.startswith("Optimizer.") else [child]


def _plain_name(event: FunctionEvent) -> str:
    return event.name.removeprefix("autograd::engine::evaluate_function: ")


def _allocated(event: FunctionEvent) -> float:
    """Bytes allocated by an operation and those that it calls; what one of them frees again within itself not."""
    return max(event.self_cpu_memory_usage, 0) + sum(map(_allocated, event.cpu_children))


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(operations)

if __name__ == "__main__":
    run(app)
