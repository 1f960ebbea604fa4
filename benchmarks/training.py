"""Steps of training: our network and others in the same loop, in turns.

    python benchmarks/training.py    # to benchmarks/results/training.csv and training.md
    python benchmarks/training.py --loops promptsr-x4:bfloat16:compile --device cuda --batch 48 --patch 64

A step is the forward pass, the L1 loss, the backward pass, and Adam. Behind a network's name `:bfloat16` stands for
torch's autocast, and `:compile` for torch.compile. Nothing else may run on the machine meanwhile.
"""

import promptsr.wait_policy  # noqa: F401
import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.contenders import REFERENCE, build, check, tell_skipped
from benchmarks.passes import SCALE, Settings, one_after_another, training_phases
from benchmarks.report import RESULTS, Threads, command, head, publish_text, significant, warn_if_busy, write_csv
from benchmarks.speed import in_turns
from promptsr.cli.console import check_targets, run
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.markdown_tables import markdown

_ALL = (
    *(f"{REFERENCE}{suffix}" for suffix in ("", ":compile", ":bfloat16", "-torch", "-torch:bfloat16")),
    *("omnisr", "swinir-light", "atd-light"),
)


@dataclass(frozen=True)
class Loop:
    """One network in one way of training it."""

    name: str
    """As given to --loops."""
    model: str
    settings: Settings
    compiled: bool


@dataclass(frozen=True)
class Row:
    """One loop."""

    model: str
    batch: int
    patch: int
    """Side of the LR patches, pixels."""
    threads: int
    device: str
    dtype: str
    compiled: bool
    seconds: float
    """Median seconds of one step."""
    steps_per_second: float
    ratio_to_promptsr: float
    """Seconds over those of promptsr-x4 in float32, not compiled, in the same run."""


def parse_loop(text: str, settings: Settings) -> Loop:
    """Parse a name such as `"promptsr-x4:bfloat16:compile"`.

    Raises:
        ConfigError: another suffix, or an unknown network.
    """
    found = re.fullmatch(r"([^:]+)(:bfloat16)?(:compile)?", text.strip())
    if found is None:
        raise ConfigError(f"--loops takes names with :bfloat16 and :compile (in this order) behind them, not {text!r}.")
    check([found[1]])
    if _scale(found[1]) != SCALE:
        raise ConfigError(f"The loops train networks for x{SCALE}, not {found[1]}.")
    if found[2]:
        settings = replace(settings, dtype="bfloat16")
    return Loop(found[0], found[1], settings, bool(found[3]))


def training_step(loop: Loop, batch: int, patch: int) -> Callable[[], None] | None:
    """Return a step, or None if the network's package is not installed."""
    contender = build(loop.model)
    if contender is None:
        return None
    network = contender.network.to(loop.settings.device).train()
    compiled = torch.compile(network) if loop.compiled else network

    def forward(lr: Tensor) -> Tensor:
        with contender.running():
            result: Tensor = compiled(lr)
            return result

    optimizers = [torch.optim.Adam(network.parameters(), lr=1e-4)]
    return one_after_another(training_phases(forward, optimizers, batch, patch, loop.settings), loop.settings)


def measure(loops: list[Loop], batch: int, patch: int, repeats: int) -> list[Row]:
    """Return a row for each loop whose network can be built.

    Raises:
        UserError: none can be, or one fails.
    """
    reference = Loop(REFERENCE, REFERENCE, replace(loops[0].settings, dtype="float32"), False)
    wanted = {loop.name: loop for loop in loops}
    steps = {name: training_step(loop, batch, patch) for name, loop in {REFERENCE: reference, **wanted}.items()}
    for name in [name for name, step in steps.items() if step is None]:
        tell_skipped(name)
    present = {name: step for name, step in steps.items() if step is not None}
    if not set(present) & set(wanted):
        raise UserError("None of these networks can be built here: install spandrel, or choose others.")
    taken = in_turns(present, repeats, f"{batch} patches of {patch} x {patch}")
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    return [
        Row(
            loop.model,
            batch,
            patch,
            loop.settings.threads,
            loop.settings.device,
            loop.settings.dtype,
            loop.compiled,
            significant(medians[name]),
            significant(1 / medians[name]),
            significant(medians[name] / medians[REFERENCE]),
        )
        for name, loop in wanted.items()
        if name in present
    ]


def report(rows: list[Row], settings: Settings) -> str:
    """Return Markdown: how it was measured, and a table, the fastest first."""
    first = rows[0]
    lines = [
        {
            "model": row.model,
            "precision": row.dtype,
            "compiled": "yes" if row.compiled else "",
            "seconds a step": f"{row.seconds:.3f}",
            "steps a second": f"{row.steps_per_second:.3f}",
            "ratio": f"{row.ratio_to_promptsr:.2f}",
        }
        for row in sorted(rows, key=lambda row: row.seconds)
    ]
    return (
        f"{head('Training', 'training', settings)}\n\nMedian of a step (forward, L1 loss, backward, Adam), "
        f"{first.batch} patches of {first.patch} x {first.patch} LR pixels, x{SCALE}, all loops in turns; ratio: to "
        f"the seconds of {REFERENCE} in float32, not compiled.\n\n{markdown(lines)}"
    )


def training(
    loops: Annotated[str, typer.Option(help="Networks, with :bfloat16 and :compile behind them.")] = ",".join(_ALL),
    batch: Annotated[int, typer.Option(min=1)] = 16,
    patch: Annotated[int, typer.Option(min=8, help="Side of the LR patches, pixels.")] = 32,
    threads: Threads = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    repeats: Annotated[int, typer.Option(min=1, help="Rounds; seconds are their median.")] = 5,
    output: Annotated[Path, typer.Option(help="Folder for training.csv and training.md.")] = RESULTS,
) -> None:
    """Measure, write and print."""
    settings = Settings(threads or torch.get_num_threads(), device)
    wanted = [parse_loop(text, settings) for text in loops.split(",")]
    table, text = targets = [output / f"training.{suffix}" for suffix in ("csv", "md")]
    check_targets(targets, None)
    torch.set_num_threads(settings.threads)
    warn_if_busy(settings.threads)
    rows = measure(wanted, batch, patch, repeats)
    write_csv(table, rows)
    publish_text(text, report(rows, settings))


def _scale(model: str) -> int:
    """Return the scale of a known network; the peers are all x4."""
    found = re.search(r"-x(\d)(-torch)?$", model)
    return int(found[1]) if found else SCALE


app = command(training)

if __name__ == "__main__":
    run(app)
