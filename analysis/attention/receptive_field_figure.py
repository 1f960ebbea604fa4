"""Effective receptive fields side by side, with the squares that hold half and nearly all of the contribution.

Write the figure on a white ground, with `figure_style.publish`.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from analysis.attention.receptive_field import ReceptiveField
from analysis.common.figure_style import drawable

_SIDE = 2.3
"""Longest side of a map in inches."""
_ACROSS = 5
"""Maps in a row at most."""
_DECADES = 5
"""Decades of contribution that the colours span."""
_SQUARES = {0.5: "#2fc4f0", 0.99: "#5fce5a"}
_FONT = 8.5


def draw_receptive_fields(fields: Sequence[ReceptiveField]) -> Figure:
    """Draw maps of contribution as multiples of an even spread, on one logarithmic scale.

    Over each map are the squares around the middle that hold 50 % and 99 % of the contribution, and below it how much
    of the image these cover.

    Args:
        fields: of images of one size; models, or layers of a model.
    """
    height, width = fields[0].map.shape
    across, down = _SIDE * min(1, width / height), _SIDE * min(1, height / width)
    columns = min(len(fields), _ACROSS)
    rows = -(-len(fields) // columns)
    size = (max(columns * (across + 0.15), 3.2) + 0.75, rows * (down + 0.62) + 0.25)
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    largest = max(field.map.max() for field in fields) * height * width
    smallest = largest / 10**_DECADES
    norm = LogNorm(smallest, largest, clip=True)
    alike = len({field.model for field in fields}) == 1
    for axes in places.flat[len(fields) :]:
        axes.set_axis_off()
    for axes, field in zip(places.flat, fields, strict=False):
        # Below the scale, and where nothing at all arrives, the darkest colour.
        shown = axes.imshow(np.maximum(field.map * height * width, smallest), norm=norm, cmap="inferno")
        for share, color in _SQUARES.items():
            side = field.extent(share).side
            corner = (width // 2 - side // 2 - 0.5, height // 2 - side // 2 - 0.5)
            axes.add_patch(Rectangle(corner, side, side, edgecolor=color, fill=False, linewidth=1.3))
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
        axes.set_title(
            field.layer if alike else f"{drawable(field.model)}\n{field.layer}", fontsize=_FONT
        ).set_parse_math(False)
        half, nearly = (f"{100 * field.extent(share).area:.3g} %" for share in _SQUARES)
        axes.set_xlabel(f"{half} and {nearly} of the image", fontsize=_FONT, labelpad=3)
    bar = figure.colorbar(shown, ax=places, shrink=0.8, extend="min", pad=0.02)
    bar.set_label("times an even spread", fontsize=_FONT)
    bar.ax.tick_params(labelsize=_FONT)
    lines = [Line2D([], [], color=color, label=f"holds {100 * share:.0f} %") for share, color in _SQUARES.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, fontsize=_FONT, frameon=False)
    return figure
