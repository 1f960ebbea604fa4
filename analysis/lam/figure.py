"""Local attribution maps of several models on one region, laid out like the paper's Fig. 7, 8 and 10."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis.common.figure_style import drawable
from analysis.common.overlay import heat, tint
from analysis.comparison.compare import Comparison, score_texts
from analysis.comparison.figure import BOX
from analysis.lam.attribution import Attribution

AREA_LEVEL = 0.01
"""Level of the map above which pixels are the contribution area."""
_CELL = 1.55
"""Side of the longest side of a small picture, in inches."""
_GAP, _LINE, _FONT = 0.08, 0.2, 8.5
_CHARACTERS = 22
"""Characters of a model's name on one line below its picture."""
_AREA = "#1f9e89"
_BAR = (240, 10)
"""Pixels of the colour bar."""
SCALE = {"0": 0.0, "1 %": 0.01, "10 %": 0.1, "50 %": 0.5, "100 %": 1.0}
"""Marks on the scale of the maps: shares of the largest attribution, by their label."""


def overlay(
    attribution: Attribution, image: np.ndarray, strength: float = 0.9, largest: float | None = None
) -> np.ndarray:
    """Draw the map in colour over the input in grey: H x W x 3 in [0, 1].

    The square root of the attribution is shown, so that faint contributions can be seen; where nothing contributes the
    input stays grey.

    Args:
        attribution: whose map to show.
        image: the input, H x W x 3 in [0, 1].
        strength: of the colour, from 0 (input alone) to 1.
        largest: attribution of the strongest colour, such as the largest of several maps that are to be compared; the
            map's own `peak` if None.
    """
    share = 1.0 if largest is None or not attribution.peak else attribution.peak / largest
    return heat(np.sqrt(share * attribution.map), image, strength)


def scale_colors(shares: np.ndarray, strength: float = 0.9) -> np.ndarray:
    """Return the colours of `overlay` for shares of the largest attribution, over medium grey: n -> n x 3 in [0, 1]."""
    colors: np.ndarray = heat(np.sqrt(shares)[None], np.full((1, len(shares), 3), 0.5), strength)[0]
    return colors


def contribution_area(attribution: Attribution, image: np.ndarray, level: float = AREA_LEVEL) -> np.ndarray:
    """Draw the input in grey, and in colour where the map is above `level`: H x W x 3 in [0, 1]."""
    return tint(attribution.map > level, image, _AREA)


def draw_lam(comparison: Comparison, attributions: Sequence[Attribution], name: str) -> Figure:
    """Draw the image with the window in a box at the left; beside it, a column for each model.

    From the top: the window as the model made it (its PSNR/SSIM below, with an HR image), where the model looked for
    it, and the contribution area with the diffusion index. Draw it on a white ground, with `style.publish`.

    Args:
        comparison: of the same models.
        attributions: of one window, in the order of the models.
        name: of the image.
    """
    region = attributions[0].region
    label, whole = comparison.pictures[0]
    image = comparison.lr[0].permute(1, 2, 0).numpy()  # 1 x 3 x H x W -> H x W x 3
    height, width = image.shape[:2]
    across, down = _CELL * width / max(height, width), _CELL * height / max(height, width)
    column = max(across, _CELL) + _GAP
    names = [textwrap.wrap(result.model, _CHARACTERS) for result in comparison.results]
    name_lines = max(map(len, names))
    rows = (_CELL + (name_lines + 1) * _LINE, down + 4.2 * _LINE, down + 2 * _LINE)
    tall = sum(rows)
    left = min(tall - _LINE, 2.2 * column) * width / max(height, width)
    size = (left + len(attributions) * column + 3 * _GAP, tall + _GAP)
    figure = Figure(figsize=size)

    def place(x: float, top: float, w: float, h: float) -> Axes:
        axes = figure.add_axes((x / size[0], (size[1] - top - h) / size[1], w / size[0], h / size[1]))
        axes.set_axis_off()
        return axes

    axes = place(_GAP, (tall - left * height / width) / 2, left, left * height / width)
    axes.imshow(whole[0].permute(1, 2, 0).numpy(), interpolation="auto")  # 1 x 3 x sH x sW -> sH x sW x 3
    corner = (region.x - 0.5, region.y - 0.5)
    axes.add_patch(Rectangle(corner, region.size, region.size, edgecolor=BOX, fill=False, linewidth=1.5))
    _write(axes, 0, f"{name} (×{comparison.scale}), {label}")
    scores = comparison.scores(region)
    largest = max(attribution.peak for attribution in attributions)
    for index, (result, attribution) in enumerate(zip(comparison.results, attributions, strict=True)):
        x = left + 3 * _GAP + index * column
        middle = x + (column - _GAP - across) / 2
        axes = place(x + (column - _GAP - _CELL) / 2, 0, _CELL, _CELL)
        axes.imshow(region.crop(result.sr)[0].permute(1, 2, 0).numpy(), interpolation="none")  # -> size x size x 3
        _write(axes, 0, "\n".join(names[index]))
        if scores:
            _write(axes, name_lines, "/".join(score_texts(*scores[index])))
        axes = place(middle, rows[0], across, down)
        axes.imshow(overlay(attribution, image, largest=largest), interpolation="none")
        _write(axes, 0, "LAM")
        axes = place(middle, rows[0] + rows[1], across, down)
        axes.imshow(contribution_area(attribution, image), interpolation="none")
        _write(axes, 0, f"Contribution area: {100 * attribution.activated(AREA_LEVEL):.1f} %")
        _write(axes, 1, "DI: none" if attribution.di is None else f"DI: {attribution.di:.2f}")
    # The scale of all maps, below them.
    across = _CELL * (0.8 if len(attributions) == 1 else 1.6)
    middle = left + 3 * _GAP + (len(attributions) * column - _GAP) / 2
    bar = place(middle - across / 2, rows[0] + down + 1.4 * _LINE, across, across * _BAR[1] / _BAR[0])
    colors = scale_colors(np.linspace(0, 1, _BAR[0]) ** 2)
    bar.imshow(np.broadcast_to(colors, (_BAR[1], *colors.shape)), interpolation="none")
    for label, share in SCALE.items():
        if not 0 < share < 0.1:  # there is no room
            _write(bar, 0, label, np.sqrt(share))
    _write(bar, 1, "of the largest attribution")
    return figure


def _write(axes: Axes, line: int, text: str, along: float = 0.5) -> None:
    below = (0, -3 - 1.35 * _FONT * line)  # in points
    axes.annotate(
        drawable(text), (along, 0), below, xycoords="axes fraction", textcoords="offset points", ha="center", va="top",
        fontsize=_FONT, parse_math=False,
    )  # fmt: skip
