"""Accuracy against size (Fig. 1b of the paper), and how costs grow with the image (its Table II). White ground."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox
from scipy.spatial.distance import cdist

from analysis.common.figure_style import drawable, soften
from analysis.complexity.scaling import LAYERS, Scaling
from analysis.complexity.study import Point

_SIZE = (6.4, 4.4)
_FONT = 9
_ORIGINS = {
    "published": ("o", "#4878a8", "published"),
    "ablation": ("D", "#c44e52", "published ablation (trained half as long)"),
    "measured": ("s", "#dd8a2b", "measured here"),
}
_COLORS = dict(zip(LAYERS, ("#c44e52", "#4878a8", "#55a868", "#2d6a4f"), strict=True))
_PANELS = {
    "attention": "Attention products (multiply-adds)",
    "maps": "Attention weights (bytes)",
    "seconds": "Time on this machine (seconds)",
}
_NEAR = 7
_PLACES = [
    (across * distance, down * distance)
    for distance in (_NEAR, 16, 26, 38)
    for across, down in ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
]
"""Places of a label, in dots (of 1/72 inch) from its point, in order of preference."""


def draw_accuracy(points: Sequence[Point], dataset: str, scale: int) -> Figure:
    """Draw Fig. 1b: PSNR against parameters, with the name of each network beside its point."""
    points = [point for point in points if np.isfinite(point.psnr_y)]  # perfect ones have no place
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    for origin, (marker, color, label) in _ORIGINS.items():
        chosen = [point for point in points if point.origin == origin]
        if chosen:
            sizes, scores = [point.parameters / 1e3 for point in chosen], [point.psnr_y for point in chosen]
            axes.scatter(sizes, scores, s=46, marker=marker, color=color, label=label, zorder=3)
    axes.set_xlabel("Parameters (thousands)")
    axes.set_ylabel(f"PSNR-Y on {dataset}, ×{scale} (dB)")
    axes.margins(0.16, 0.14)
    axes.tick_params(labelsize=_FONT)
    soften(axes)
    figure.legend(fontsize=_FONT, loc="outside upper center", ncols=len(_ORIGINS), frameon=False)
    _label(figure, axes, points)
    return figure


def draw_scaling(scaling: Scaling) -> Figure:
    """Draw costs against tokens, both on logarithmic axes; the slope of each line is its exponent."""
    measured = {exponent.quantity for exponent in scaling.exponents}
    panels = [quantity for quantity in _PANELS if quantity in measured]
    figure = Figure(figsize=(4.1 * len(panels), 4.3), layout="constrained")
    for number, quantity in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), number + 1)
        for exponent in (each for each in scaling.exponents if each.quantity == quantity):
            error = f" ± {exponent.error:.2f}" if quantity == "seconds" else ""
            axes.loglog(
                exponent.tokens,
                exponent.values,
                marker="o",
                markersize=4,
                linestyle="--" if "d =" in exponent.layer else "-",
                color=_COLORS[exponent.layer],
                label=f"{exponent.layer}: {exponent.exponent:.2f}{error}",
            )
        axes.set_title(_PANELS[quantity], fontsize=_FONT + 1)
        axes.set_xlabel("Tokens HW")
        ticks = sorted({tokens for exponent in scaling.exponents for tokens in exponent.tokens})
        axes.set_xticks(ticks, [f"{round(tokens**0.5)}²" for tokens in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.tick_params(labelsize=_FONT)
        soften(axes)
        axes.legend(title="exponent of HW", fontsize=_FONT - 1, title_fontsize=_FONT - 1, loc="upper left")
        low, high = axes.get_ylim()
        axes.set_ylim(low, high * (high / low) ** 0.45)  # room for the legend
    return figure


def _label(figure: Figure, axes: Axes, points: Sequence[Point]) -> None:
    """Write names where they cover neither points nor other names; a name that has to stand far off gets a line."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # settles the layout
    centers = [(point.parameters / 1e3, point.psnr_y) for point in points]
    reach = 5 * figure.dpi / 72
    spots = axes.transData.transform(centers)
    taken = [Bbox.from_extents(x - reach, y - reach, x + reach, y + reach) for x, y in spots]
    distances = cdist(spots, spots)
    np.fill_diagonal(distances, np.inf)
    crowded = distances.min(axis=1).argsort(kind="stable")  # the most crowded names have the least choice
    for point, center in ((points[index], centers[index]) for index in crowded):
        for across, down in _PLACES:
            text = axes.annotate(
                drawable(point.model),
                center,
                (across, down),
                textcoords="offset points",
                ha="left" if across > 0 else "right" if across < 0 else "center",
                va="bottom" if down > 0 else "top" if down < 0 else "center",
                fontsize=_FONT,
                fontweight="bold" if point.model.lower().startswith("promptsr") else "normal",
                in_layout=False,
                parse_math=False,
            )
            box = text.get_window_extent(canvas.get_renderer())
            inside = axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
            if (inside and not any(box.overlaps(other) for other in taken)) or (across, down) == _PLACES[-1]:
                break
            text.remove()
        taken.append(box)
        if max(abs(across), abs(down)) > _NEAR:
            line = {"arrowstyle": "-", "color": "#9aa3ad", "linewidth": 0.6}
            axes.annotate("", center, (across, down), textcoords="offset points", arrowprops=line, in_layout=False)
