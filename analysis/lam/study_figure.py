"""Mean diffusion index of several models, with its interval, over the points of single images."""

import numpy as np
from matplotlib.figure import Figure

from analysis.common.figure_style import drawable
from analysis.lam.study import LamStudy

_MEAN, _POINT = "#1f6fb4", "#9aa4ae"
_FONT = 9


def draw_di(study: LamStudy) -> Figure:
    """Draw a line per model: the images as faint points, their mean and its 95 % interval on top.

    Draw it on a white ground, with `style.publish`.
    """
    figure = Figure(figsize=(6.4, 1.1 + 0.55 * len(study.models)), layout="constrained")
    axes = figure.add_subplot()
    spread = np.random.default_rng(0).uniform(-0.14, 0.14, len(study.di))  # the same shift for an image in every line
    for line, mean in enumerate(study.means.itertuples()):
        axes.scatter(study.di[mean.model], line + spread, s=14, color=_POINT, alpha=0.55, linewidths=0)
        if np.isfinite(mean.low):
            axes.plot([mean.low, mean.high], [line, line], color=_MEAN, linewidth=2.2, solid_capstyle="butt")
        axes.plot(mean.di, line, marker="o", markersize=6.5, color=_MEAN)
        axes.annotate(
            f"{mean.di:.2f}", (mean.di, line), (0, 10), textcoords="offset points", ha="center", fontsize=_FONT
        )
    axes.set_yticks(range(len(study.models)), list(map(drawable, study.models)), fontsize=_FONT, parse_math=False)
    axes.set_ylim(len(study.models) - 0.5, -0.6)  # the first model on top
    axes.set_xlim(left=0)
    axes.set_xlabel(
        f"Diffusion index on patches of {study.patch} × {study.patch} (mean of {len(study.di)} images, 95 % interval)",
        fontsize=_FONT,
    )
    axes.tick_params(labelsize=_FONT, length=0, axis="y")
    axes.tick_params(labelsize=_FONT, axis="x")
    axes.grid(axis="x", color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure
