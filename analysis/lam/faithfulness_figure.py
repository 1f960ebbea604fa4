"""Deletion curves of several models: how much of a window's change comes with the first pixels of each order."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.common.figure_style import drawable
from analysis.lam.faithfulness import ORDERS, PARTS, mean_changes

_COLORS = dict(zip(ORDERS, ("#c0392b", "#e08e0b", "#1f6fb4", "#8a949e"), strict=True))
_NAMES = {"map": "by the map", "gradient": "by the gradient", "distance": "nearest first", "random": "at random"}
_TITLES = {"all": "All pixels", "far": f"Pixels farther than\n{PARTS['far']} from the window"}
_TICKS = (0.02, 0.1, 0.25, 0.5, 1.0)
_FONT = 8.5


def draw_faithfulness(curves: pd.DataFrame, models: Sequence[str]) -> Figure:
    """Draw a column per model, above for all pixels and below for those far from the window.

    Draw it on a white ground, with `style.publish`.

    Args:
        curves: of one window or of several, as `Faithfulness.curves`, and a column model.
        models: their names, in the order of the columns.
    """
    changes, columns = mean_changes(curves), len(models)
    figure = Figure(figsize=(1.2 + 2.2 * columns, 4.6), layout="constrained")
    grid = figure.subplots(len(PARTS), columns, sharex=True, sharey=True, squeeze=False)
    for row, part in zip(grid, PARTS, strict=True):
        for axes, model in zip(row, models, strict=True):
            of_part = changes[(changes["part"] == part) & (changes["way"] == "deletion")]
            own = of_part[of_part["model"] == model]
            for order, color in _COLORS.items():
                curve = own[own["order"] == order]
                axes.plot(np.sqrt(curve["share"]), curve["change"], color=color, linewidth=1.6, label=_NAMES[order])
            if own["change"].isna().all():
                axes.text(0.5, 0.5, "They do not\nchange it.", ha="center", va="center", fontsize=_FONT)
            if part == "all":
                axes.set_title(drawable(model), fontsize=_FONT, parse_math=False)
            axes.set_xticks(np.sqrt(_TICKS), [f"{100 * tick:g}" for tick in _TICKS])
            axes.tick_params(labelsize=_FONT - 1)
            axes.set_xlim(0, 1)
            axes.grid(color="#e3e6ea", linewidth=0.7)
            for side in ("top", "right"):
                axes.spines[side].set_visible(False)
        row[0].set_ylabel(f"{_TITLES[part]}\nchange / that of all", fontsize=_FONT)
    grid[0, 0].set_ylim(bottom=0)  # of all, which share their axis
    figure.supxlabel("pixels that are blurred, %", fontsize=_FONT)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=_FONT)
    return figure
