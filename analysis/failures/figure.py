"""Pictures of failure cases: error against texture complexity, and one case in the layout of the paper's Fig. 9."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.common.figure_style import INK, drawable, show_plainly
from analysis.comparison.figure import draw_comparison
from analysis.failures.study import Case

_COLORS = ("#e0533d", "#3d84d6", "#2e9e6b", "#a468d0", "#c68a17")
"""Colours of the model and its opponents in turn: readable on white and on black."""


def draw_case(case: Case) -> Figure:
    """Draw the surroundings with the window in a box, then the window in the HR image and in every result."""
    return draw_comparison(case.surroundings, case.inset, case.image)


def draw_texture(texture: pd.DataFrame) -> Figure:
    """Draw the result of `error_by_texture`: a line per model through the bins; quartiles of the windows as a band."""
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(texture["model"]))
    lines = []
    for index, name in enumerate(names):
        rows = texture[texture["model"] == name].replace([np.inf], np.nan)  # no error at all has no place here
        color = _COLORS[index % len(_COLORS)]
        lines += axes.plot(rows["texture"], rows["psnr_y"], "o-", color=color, markersize=4, linewidth=1.8)
        axes.fill_between(rows["texture"], rows["psnr_y_low"], rows["psnr_y_high"], color=color, alpha=0.1, linewidth=0)
    axes.legend(lines, list(map(drawable, names)), frameon=False, labelcolor=INK)
    show_plainly(axes)
    axes.set_xlabel("texture: mean gradient of Y in the window of the original (grey levels per pixel)", color=INK)
    axes.set_ylabel("PSNR-Y (dB)", color=INK)
    axes.tick_params(colors=INK)
    axes.grid(color=INK, alpha=0.25, linewidth=0.6)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)
    return figure
