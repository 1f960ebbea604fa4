"""Figures of the attention of one pixel, in one block and over depth.

Maps of attention are anything from nearly even to a few peaks. All share one logarithmic scale, in multiples of an even
spread, so that equal colours mean the same in every map. Write figures on a white ground, with `figure_style.publish`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from analysis.attention.maps import LAYERS
from analysis.attention.pixel import PixelAttention
from analysis.attention.weight_maps import WeightMap
from analysis.common.figure_style import drawable, soften
from analysis.common.overlay import SPAN, log_share, painted, relative, tint

_CELL = 2.1
"""Width of a picture in inches."""
_TALLEST = 2.0
"""Height over width of a row of pictures, at most."""
_TEXT = 0.72
"""Height of the text above and below it."""
_FONT = 8.5
_HALO = [patheffects.withStroke(linewidth=2.6, foreground="black")]
_GROUP = "#1f9e89"
SCALE = {f"≤ 1/{SPAN}": 1 / SPAN, "1/5": 1 / 5, "1": 1.0, "5": 5.0, f"≥ {SPAN}": SPAN}
"""Marks on the scale of all maps: multiples of the mean weight, by their label."""
_COLORS = ("#1f6fb4", "#d1495b", "#1f9e89", "#8d5fd3", "#e0912f", "#5b6770", "#b5489b", "#7a8b1f")


@dataclass(frozen=True, eq=False)
class _Panel:
    title: str
    caption: str
    pixels: np.ndarray
    """H x W x 3."""
    crop: int = 0
    """Show only so many pixels on each side of the chosen one; 0 for the whole."""

    def box(self, seen: PixelAttention) -> tuple[int, int, int, int]:
        """Return left end, top, right end and bottom of the part that is shown, in pixels."""
        height, width = self.pixels.shape[:2]
        if not self.crop:
            return 0, 0, width, height
        left, top = max(seen.x - self.crop, 0), max(seen.y - self.crop, 0)
        return left, top, min(seen.x + self.crop + 1, width), min(seen.y + self.crop + 1, height)

    def aspect(self, seen: PixelAttention) -> float:
        """Return height over width of that part."""
        left, top, right, bottom = self.box(seen)
        return (bottom - top) / (right - left)


def overlay(weights: WeightMap, photo: np.ndarray, head: int = 0) -> np.ndarray:
    """Paint a map in colour over the image in grey, on the scale of all maps: H x W x 3 in [0, 1].

    Violet is a thirtieth of the mean weight and below, yellow 30 times the mean and above. Weights of 0 stay grey.

    Args:
        weights: h x w, or heads x h x w.
        photo: the image, H x W x 3 in [0, 1].
        head: which one.
    """
    height, width = photo.shape[:2]
    values = weights.by_head[head].repeat(weights.stride, axis=0).repeat(weights.stride, axis=1)[:height, :width]
    return painted(log_share(relative(values)), values > 0, photo)


def scale_colors(multiples: np.ndarray) -> np.ndarray:
    """Return the colours of `overlay` for multiples of the mean weight, over medium grey: n -> n x 3 in [0, 1]."""
    grey = np.full((1, len(multiples), 3), 0.5)
    colors: np.ndarray = painted(log_share(multiples)[None], np.ones((1, len(multiples)), bool), grey)[0]
    return colors


def group_overlay(members: np.ndarray, category: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Paint the group of a pixel in full colour, the rest of its category in a faint one: H x W x 3 in [0, 1].

    Args:
        members: H x W, bool.
        category: H x W, bool.
        photo: the image, H x W x 3 in [0, 1].
    """
    return np.where(members[..., None], tint(members, photo, _GROUP, 0.95), tint(category, photo, _GROUP, 0.3))


def draw_attention(seen: PixelAttention, name: str) -> Figure:
    """Draw one pixel: its anchors and what they read, the composed map, its groups, and its windows by head.

    Args:
        seen: attention of the pixel.
        name: of the image.
    """
    windows = [_window_panels(seen, layer) for layer in LAYERS]
    rows = [row for row in (_anchor_row(seen), _result_row(seen)) if row]
    rows += [[*windows[0], *windows[1]]] if len(windows[0]) <= 2 else windows
    columns = max(map(len, rows))
    tall = [_CELL * min(_TALLEST, max(panel.aspect(seen) for panel in row)) + _TEXT for row in rows]
    figure = Figure(figsize=(columns * _CELL, sum(tall) + 0.7), layout="constrained")
    grid = figure.add_gridspec(len(rows), columns, height_ratios=tall)
    for r, row in enumerate(rows):
        for c, panel in enumerate(row):
            _show(figure.add_subplot(grid[r, c]), panel, seen)
    title = f"{name}: pixel ({seen.x}, {seen.y}), group {seen.group + 1}, block {seen.block + 1}"
    figure.suptitle(drawable(title), fontsize=_FONT, parse_math=False)
    keys = [
        Patch(color=color, label=label)
        for label, color in zip(SCALE, scale_colors(np.array([*SCALE.values()])), strict=True)
    ]
    figure.legend(
        handles=keys,
        title="attention relative to uniform (1 = average), the same colours in all maps",
        loc="outside lower center",
        ncols=len(keys),
        fontsize=_FONT - 1,
        title_fontsize=_FONT - 1,
        frameon=False,
        handlelength=1.2,
    )
    return figure


def _anchor_row(seen: PixelAttention) -> list[_Panel]:
    row = [_Panel("Image", "ring: the pixel, square: its anchor\nnumbers: the anchors it reads most", seen.photo)]
    if seen.anchors:
        row.append(_weight_panel(seen, "fine", "Anchors it reads (M fine)"))
    for n, anchor in enumerate(seen.anchors, start=1):
        row.append(_weight_panel(seen, f"reading_{n}", f"Anchor {n} reads ({100 * anchor.weight:.2g} %)"))
    return row


def _result_row(seen: PixelAttention) -> list[_Panel]:
    row = [_weight_panel(seen, "composed", "Composed map")] if "composed" in seen.weights else []
    if "jacobian" in seen.weights:
        rank = "" if seen.spearman is None else f", Spearman {seen.spearman:.2f}"
        row.append(_weight_panel(seen, "jacobian", f"Jacobian norm{rank}"))
    for layer in LAYERS:
        if f"members_{layer}" in seen.groups:
            members, category = (seen.groups[f"{kind}_{layer}"] for kind in ("members", "category"))
            caption = f"{members.sum()} pixels attend together\n{category.sum()} have its category"
            row.append(_Panel(f"Its {layer} group", caption, group_overlay(members, category, seen.photo)))
    return row


def _window_panels(seen: PixelAttention, layer: str) -> list[_Panel]:
    name = f"windows_{layer}"
    return [
        _weight_panel(seen, name, f"Window, {layer} layer, head {head + 1}", head, crop=seen.window)
        for head in range(len(seen.weights[name].values))
    ]


def _weight_panel(seen: PixelAttention, name: str, title: str, head: int = 0, crop: int = 0) -> _Panel:
    weights, found = seen.weights[name], seen.reach(name)[head]
    times = relative(weights.by_head[head])
    read = times[times > 0]
    low, high = (read.min(), read.max()) if len(read) else (0.0, 0.0)
    unit = "px" if weights.stride == 1 else "anchors"
    caption = f"{_short(low)} to {_short(high)} × mean"
    if found:
        caption += f"\n90 % in {found.area} of {len(read)} {unit}\nmean distance {found.distance:.1f} px"
    return _Panel(title, caption, overlay(weights, seen.photo, head), crop)


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"


def _show(axes: Axes, panel: _Panel, seen: PixelAttention) -> None:
    axes.imshow(panel.pixels, interpolation="none")
    axes.set_title(panel.title, fontsize=_FONT, pad=4)
    axes.set_xlabel(panel.caption, fontsize=_FONT - 1.5, labelpad=3)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    axes.plot(seen.x, seen.y, "o", markersize=6, fillstyle="none", color="white", path_effects=_HALO)
    if panel.pixels is seen.photo and seen.anchors:
        _mark_anchors(axes, seen)
    left, top, right, bottom = panel.box(seen)
    axes.set(xlim=(left - 0.5, right - 0.5), ylim=(bottom - 0.5, top - 0.5))


def _mark_anchors(axes: Axes, seen: PixelAttention) -> None:
    side = seen.weights["fine"].stride
    corner = (seen.x // side * side - 0.5, seen.y // side * side - 0.5)
    axes.add_patch(Rectangle(corner, side, side, edgecolor="white", fill=False, linewidth=1.2, path_effects=_HALO))
    for number, anchor in enumerate(seen.anchors, start=1):
        middle = (anchor.x + (side - 1) / 2, anchor.y + (side - 1) / 2)
        axes.annotate(str(number), middle, color="white", fontsize=_FONT, ha="center", va="center", path_effects=_HALO)


def draw_depth(table: pd.DataFrame) -> Figure:
    """Draw the table of a `DepthStudy`, with or without its rank correlations: a point for every block."""
    charts = list(_charts(table))
    rows = -(-len(charts) // 3)
    figure = Figure(figsize=(3.3 * 3, 2.7 * rows), layout="constrained")
    labels = [f"{group}.{block}" for group, block in zip(table["group"], table["block"], strict=True)]
    for place, (title, lines) in enumerate(charts, start=1):
        axes = figure.add_subplot(rows, 3, place)
        for color, (label, column) in zip(_COLORS * 4, lines.items(), strict=False):
            axes.plot(labels, table[column], "o-", markersize=3.5, linewidth=1.4, color=color, label=label)
        if "spearman" in lines.values():
            axes.fill_between(labels, table["spearman_low"], table["spearman_high"], color=_COLORS[0], alpha=0.2)
            axes.set_ylim(min(0.0, float(table["spearman_low"].min())), 1.02)
        else:
            axes.set_ylim(0, 1.08 * float(table[list(lines.values())].max(axis=None)))
        axes.set_title(title, fontsize=_FONT + 0.5)
        axes.set_xlabel("group.block", fontsize=_FONT - 0.5)
        axes.tick_params(labelsize=_FONT - 1)
        axes.xaxis.set_major_locator(MaxNLocator(12, integer=True))
        soften(axes, "y")
        if len(lines) > 1:
            axes.legend(fontsize=_FONT - 1.5, frameon=False)
    return figure


def _charts(table: pd.DataFrame) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the title of each chart, and label -> column of its lines."""
    yield "Entropy, share of the maximum", {"M coarse": "coarse_entropy", "M fine": "fine_entropy"}
    yield "Composed map, pixels", {"effective number": "effective_pixels", "that hold 90 %": "area"}
    yield "Composed map, distance in pixels", {"mean": "distance", "radius of 90 %": "radius"}
    for title, prefix in (("Windows", "window_"), ("Category groups", "category_")):
        heads = [column for column in table if column.startswith(prefix)]
        if heads:
            names = [column.removeprefix(prefix).replace("_", ", head ") for column in heads]
            yield f"{title}, mean distance in pixels", dict(zip(names, heads, strict=True))
    categories = {str(layer): f"{layer}_categories" for layer in LAYERS if f"{layer}_categories" in table}
    if categories:
        yield "Categories in use", categories
    if "spearman" in table:
        yield "Spearman, composed map and Jacobian", {"mean over pixels": "spearman"}
