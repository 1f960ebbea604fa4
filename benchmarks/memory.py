"""How the memory of a whole image grows with its size: a fresh process for each, and the exponent in pixels.

    python benchmarks/memory.py    # to benchmarks/results/memory.csv, .md, .png

It needs no idle machine: the memory is the same on a busy one.
"""

import promptsr.wait_policy  # noqa: F401
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from analysis.common.figure_style import publish
from benchmarks import fresh_process
from benchmarks.contenders import MISSING, REFERENCE, build, check
from benchmarks.figures import draw_memory
from benchmarks.passes import PassRow, Settings
from benchmarks.report import RESULTS, Threads, command, head, publish_text, significant, write_csv
from promptsr.cli.console import check_targets, log, run
from promptsr.support.errors import ConfigError
from promptsr.support.markdown_tables import markdown


@dataclass(frozen=True)
class Row(PassRow):
    """One square image; memory in 10^6 bytes."""

    before_mb: float
    """Held when the pass begins."""
    peak_before_mb: float
    """The most that was held until then, by imports and by building the network."""
    peak_mb: float
    """The most that was held at all."""
    growth_mb: float
    """`peak_mb` - `before_mb`: what the pass took."""


def fit(pixels: list[int], growth: list[float]) -> tuple[float, float]:
    """Fit exponent and factor of growth = factor * pixels ** exponent, by least squares of the logarithms."""
    exponent, logarithm = np.polyfit(np.log(pixels), np.log(growth), 1)
    return float(exponent), math.exp(logarithm)


def measure(name: str, sides: list[int], settings: Settings) -> list[Row]:
    """Return one row for each side.

    Raises:
        ConfigError: an image is so small that the peak says nothing about it.
    """
    rows = []
    for side in sides:
        log.print(f"{side} x {side}: memory of {name}", highlight=False)
        found = fresh_process.measure(name, side, side, settings)
        if found.peak <= found.peak_before:
            raise ConfigError(f"{side} x {side} takes {name} less memory than building it: leave that side out.")
        megabytes = (found.before, found.peak_before, found.peak, found.peak - found.before)
        rows.append(Row(name, side, side, *asdict(settings).values(), *(significant(b / 1e6) for b in megabytes)))
    return rows


def report(rows: list[Row], exponent: float, settings: Settings) -> str:
    """Return Markdown: how it was measured, the exponent, and a table."""
    lines = [
        {
            "side": str(row.height),
            "before the pass": f"{row.before_mb:.0f}",
            "peak until then": f"{row.peak_before_mb:.0f}",
            "peak": f"{row.peak_mb:.0f}",
            "peak - before": f"{row.growth_mb:.0f}",
        }
        for row in rows
    ]
    return (
        f"{head('Memory', 'memory', settings)}\n\n{rows[0].model} on whole images, each in a process of its "
        "own: 10^6 bytes that were resident when the pass began (after a pass over 16 x 16 pixels), the most until "
        "then, the most at all, and what the pass took. That grows with the number of pixels to the power of "
        f"{exponent:.2f}.\n\n{markdown(lines)}"
    )


def memory(
    model: Annotated[str, typer.Option(help="A name; a wrong one lists them all.")] = REFERENCE,
    sides: Annotated[str, typer.Option(help="Of the LR images, pixels.")] = "128,192,256,384,512,768",
    threads: Threads = None,
    output: Annotated[Path, typer.Option(help="Folder for memory.csv, memory.md and memory.png.")] = RESULTS,
) -> None:
    """Measure, write and print."""
    check([model])
    settings = Settings(threads or torch.get_num_threads())
    if not all(side.strip().isdecimal() for side in sides.split(",")) or len(set(sides.split(","))) < 2:
        raise ConfigError(f"--sides takes two or more numbers of pixels, such as 128,256, not {sides!r}.")
    targets = [output / f"memory.{suffix}" for suffix in ("csv", "md", "png")]
    check_targets(targets, None)
    if build(model) is None:
        raise ConfigError(f"{model} {MISSING}")
    rows = measure(model, [int(side) for side in sides.split(",")], settings)
    exponent, factor = fit([row.height * row.width for row in rows], [row.growth_mb for row in rows])
    table, text, figure = targets
    write_csv(table, rows)
    publish(draw_memory(rows, exponent, factor), figure)
    publish_text(text, report(rows, exponent, settings))


app = command(memory)

if __name__ == "__main__":
    run(app)
