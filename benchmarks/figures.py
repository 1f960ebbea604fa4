"""Figures of what the benchmarks measured."""

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

if TYPE_CHECKING:
    from benchmarks import memory, speed

_OURS, _REFERENCE, _PEERS, _LIMIT = "#8fc1e3", "#0072b2", "#c9ced4", "#d55e00"
_INK = "#30363d"
_FONT = 9
_BUDGET = 3000
"""Megabytes that a whole image of 512 x 512 may take at most."""


def draw_speed(rows: "Sequence[speed.Row]") -> Figure:
    """Draw the seconds of every network as bars, a panel for each size, with ratio and share of the matmul peak."""
    sizes = list(dict.fromkeys((row.height, row.width) for row in rows))
    panels = [
        sorted((row for row in rows if (row.height, row.width) == size), key=attrgetter("seconds")) for size in sizes
    ]
    tallest = max(map(len, panels))
    figure = Figure(figsize=(5.4 * len(sizes), 1.1 + 0.29 * tallest), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(sizes), squeeze=False)[0], panels, strict=True):
        _draw_size(axes, panel)
    first = rows[0]
    figure.supxlabel(
        f"seconds ({first.threads} threads, {first.device}, {first.dtype}); ratio to promptsr-x4; share of matmul peak",
        fontsize=_FONT,
        color=_INK,
    )
    return figure


def draw_memory(rows: "Sequence[memory.Row]", exponent: float, factor: float) -> Figure:
    """Draw memory over pixels, both logarithmic: the peak, what the pass took, and the line fitted to that.

    Args:
        rows: of one network.
        exponent: of the line.
        factor: of the line, megabytes at one pixel.
    """
    pixels = np.array([row.height * row.width for row in rows])
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.loglog(pixels, [row.peak_mb for row in rows], "s", color=_INK, markersize=5, label="peak of the process")
    axes.loglog(pixels, [row.growth_mb for row in rows], "o", color=_REFERENCE, markersize=6, label="peak - before")
    line = np.geomspace(pixels.min() / 1.3, pixels.max() * 1.3, 50)
    axes.loglog(
        line, factor * line**exponent, color=_REFERENCE, linewidth=1.2, label=f"fit: pixels to the {exponent:.2f}"
    )
    axes.axhline(_BUDGET, color=_LIMIT, linewidth=1, linestyle=(0, (4, 3)), label="3 GB, the limit at 512 x 512")
    axes.set_xticks(pixels, [f"{row.height}²" for row in rows], fontsize=_FONT)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("pixels of the LR image", fontsize=_FONT)
    axes.set_ylabel("megabytes", fontsize=_FONT)
    axes.set_title(f"{rows[0].model}, whole image, {rows[0].threads} threads", fontsize=_FONT + 1)
    axes.legend(frameon=False, fontsize=_FONT)
    axes.grid(color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    _tidy(axes)
    return figure


def _draw_size(axes: Axes, rows: "Sequence[speed.Row]") -> None:
    places = range(len(rows))
    longest = max(row.seconds for row in rows)
    axes.barh(places, [row.seconds for row in rows], 0.72, color=[_color(row.model) for row in rows])
    for i, row in enumerate(rows):
        text = f"{row.seconds:.2f} s   {row.ratio_to_promptsr:.2f}×   {100 * row.share_of_matmul_peak:.0f} %"
        axes.text(row.seconds + longest / 80, i, text, va="center", fontsize=_FONT - 1, color=_INK)
    axes.set_yticks(places, [row.model for row in rows], fontsize=_FONT)
    axes.set(xlim=(0, 1.45 * longest), ylim=(len(rows) - 0.5, -0.5))
    axes.set_title(f"{rows[0].height} × {rows[0].width}", fontsize=_FONT + 1)
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.tick_params(labelsize=_FONT, length=0)
    axes.spines[["top", "right"]].set_visible(False)


def _color(model: str) -> str:
    if not model.startswith("promptsr"):
        return _PEERS
    return _REFERENCE if model == "promptsr-x4" else _OURS
