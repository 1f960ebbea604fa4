"""Pictures of a walk through the network."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.attention.category_colors import category_colors
from analysis.common.figure_style import INK, draw_scale
from analysis.tour.views import View
from analysis.tour.walk import Tour

_LONGEST_SIDE = 4.2
"""Longest side of a picture in inches."""
_ROW_WIDTH = 10.0
"""Width of pictures side by side, in inches."""
_ROW_LETTERS = 130
"""Letters of their titles that fit into a row."""
_GAP = 0.06
"""Space between them, as a share of a picture's width."""
_HALO = [patheffects.withStroke(linewidth=3.2, foreground="black")]


def draw_view(view: View, tour: Tour) -> Figure:
    """Draw one picture of a tour, with a colour bar where colours stand for numbers."""
    height, width = tour.photo.shape[:2]
    longest = max(height, width)
    figure = Figure(figsize=(_LONGEST_SIDE * width / longest, _LONGEST_SIDE * height / longest))
    _draw(figure.add_axes((0, 0, 1, 1)), view, tour)
    return figure


def draw_views(views: Sequence[View], tour: Tour) -> Figure:
    """Draw pictures of a tour side by side, each below its title."""
    height, width = tour.photo.shape[:2]
    across = len(views) + (len(views) - 1) * _GAP
    figure = Figure(figsize=(_ROW_WIDTH, _ROW_WIDTH / across * height / width))
    for number, view in enumerate(views):
        axes = figure.add_axes((number * (1 + _GAP) / across, 0, 1 / across, 1))
        _draw(axes, view, tour)
        axes.set_title(fill(view.title, _ROW_LETTERS // len(views)), color=INK, fontsize=10)
    return figure


def _draw(axes: Axes, view: View, tour: Tour) -> None:
    height, width = tour.photo.shape[:2]
    axes.set_axis_off()
    if view.kind in ("share", "categories"):
        grey = tour.photo.mean(axis=2)
        axes.imshow(grey, cmap="gray", vmin=-0.1, vmax=1.4, extent=(0, width, height, 0))
    rows, columns = view.values.shape[:2]
    extent = (0, columns * view.pitch, rows * view.pitch, 0)
    if view.kind == "colors":
        axes.imshow(view.values, extent=extent)
    elif view.kind == "categories":
        labels = view.values.astype(int)
        axes.imshow(category_colors(labels, *tour.grid.anchor_grid), extent=extent, alpha=0.7)
    else:
        colors, low, high = _scale(view)
        # Attention covers the photo as far as it goes; the square root lets the faint parts show.
        alpha = np.sqrt(view.values / high) if view.kind == "share" else 1.0
        axes.imshow(view.values, extent=extent, cmap=colors, vmin=low, vmax=high, alpha=alpha)
        draw_scale(axes, colors, low, high)
    if view.window:
        first = view.shift or view.window
        axes.vlines(np.arange(first, width, view.window), 0, height, "white", linewidth=0.8, alpha=0.65)
        axes.hlines(np.arange(first, height, view.window), 0, width, "white", linewidth=0.8, alpha=0.65)
    _mark_focus(axes, view, tour)
    axes.set(xlim=(0, width), ylim=(height, 0))


def _scale(view: View) -> tuple[str, float, float]:
    """Return colour map and limits for values that are numbers."""
    low, high = float(view.values.min()), float(view.values.max())
    if view.kind == "share":
        return "inferno", 0.0, max(high, 1e-12)
    if view.kind == "signed":
        limit = max(-low, high, 1e-12)
        return "RdBu_r", -limit, limit
    return "viridis", low, max(high, low + 1e-12)


def _mark_focus(axes: Axes, view: View, tour: Tour) -> None:
    x, y = tour.focus
    if view.marked == "pixel":
        axes.plot(x + 0.5, y + 0.5, "o", markersize=9, fillstyle="none", color="white", path_effects=_HALO)
    elif view.marked == "anchor":
        side = tour.grid.config.anchor_stride
        corner = (x // side * side, y // side * side)
        axes.add_patch(Rectangle(corner, side, side, edgecolor="white", fill=False, linewidth=1.6, path_effects=_HALO))
