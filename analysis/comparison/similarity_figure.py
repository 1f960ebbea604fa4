"""Linear CKA between all layers as a picture.

Write the figure on a white ground, with `figure_style.publish`.
"""

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from analysis.common.figure_style import INK, drawable
from analysis.comparison.similarity import SimilarityStudy

_CELL = 0.27
"""Side of a cell in inches."""
_MARGIN = 2.6
_NUMBERED = 16
"""Layers up to which every cell has its number."""
_FONT = 8.5


def draw_similarity(study: SimilarityStudy) -> Figure:
    """Draw a square of cells, a row and a column for every layer, with lines between the models."""
    count = len(study.layers)
    cell = 2 * _CELL if count <= _NUMBERED else _CELL
    figure = Figure(figsize=(count * cell + _MARGIN + 0.9, count * cell + _MARGIN), layout="constrained")
    axes = figure.add_subplot()
    shown = axes.imshow(np.ma.masked_invalid(study.mean), vmin=0, vmax=1, cmap="viridis")
    if count <= _NUMBERED:
        for (row, column), value in np.ndenumerate(study.mean):
            if np.isfinite(value):
                color = "black" if value > 0.6 else "white"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=_FONT - 1, color=color)
    labels = [drawable(f"{model}: {layer}") for model, layer in study.layers]
    axes.set_xticks(range(count), labels, rotation=90, fontsize=_FONT, parse_math=False)
    axes.set_yticks(range(count), labels, fontsize=_FONT, parse_math=False)
    axes.tick_params(length=0)
    for place, (one, other) in enumerate(pairwise(study.layers)):
        if one[0] != other[0]:
            axes.axhline(place + 0.5, color="white", linewidth=2.5)
            axes.axvline(place + 0.5, color="white", linewidth=2.5)
    axes.spines[:].set_color(INK)
    bar = figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.02)
    bar.set_label(f"linear CKA over {study.points} pixels (mean of {len(study.values)} images)", fontsize=_FONT)
    bar.ax.tick_params(labelsize=_FONT)
    return figure
