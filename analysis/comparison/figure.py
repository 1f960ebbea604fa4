"""One region of an image as several models see it, laid out like the paper's Fig. 4 to 6, and maps of differences."""

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from analysis.common.figure_style import drawable
from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, score_texts
from promptsr.imaging.picture import to_array

_CROP = 1.3
"""Side of a crop in inches, whatever the size of the region."""
_LABEL = 0.42
"""Height of two lines of text."""
_GAP = 0.1
_WIDEST = 4.4
"""Width of the whole image, in inches: a wider one is drawn less tall than the two rows of crops beside it."""
_FONT = 9
BOX = "#e5322d"


def draw_comparison(comparison: Comparison, region: Region, name: str) -> Figure:
    """Draw the whole image with the region in a box at the left, and beside it that region of HR image and results.

    Without HR image the input takes its place, and there are no scores. The best PSNR and the best SSIM of the region
    are bold. For a white ground: `analysis.common.figure_style.publish`.

    Args:
        comparison: of one to any number of models.
        region: in output pixels.
        name: of the image.

    Raises:
        UserError: the region leaves the image.
    """
    comparison.check(region)
    pictures = comparison.pictures
    whole = pictures[0][1]
    columns = math.ceil(len(pictures) / 2)
    tall = 2 * (_CROP + _LABEL)
    height, width = whole.shape[2:]
    shrink = min((tall - _LABEL) / height, _WIDEST / width)
    left, middle = max(shrink * width, _CROP), (tall + _LABEL) / 2  # the caption hangs below the image
    size = (left + columns * (_CROP + _GAP) + 2 * _GAP, tall + _GAP)
    figure = Figure(figsize=size)

    def place(x: float, y: float, across: float, down: float) -> Axes:
        return figure.add_axes((x / size[0], y / size[1], across / size[0], down / size[1]))

    axes = place(_GAP + (left - shrink * width) / 2, middle - shrink * height / 2, shrink * width, shrink * height)
    _show(axes, whole, "auto")
    corner = (region.x - 0.5, region.y - 0.5)
    axes.add_patch(Rectangle(corner, region.size, region.size, edgecolor=BOX, fill=False, linewidth=1.5))
    _write(axes, 0, f"{name} (×{comparison.scale})", left)
    scores = comparison.scores(region)
    for index, (label, image) in enumerate(pictures):
        row, column = divmod(index, columns)
        x = left + 2 * _GAP + column * (_CROP + _GAP)
        axes = place(x, (1 - row) * (_CROP + _LABEL) + _LABEL, _CROP, _CROP)
        _show(axes, region.crop(image), "none")
        _write(axes, 0, label, _CROP)
        if scores and index:
            _write_scores(axes, scores[index - 1], scores)
        elif scores:
            _write(axes, 1, "PSNR/SSIM", _CROP)
    return figure


def difference_scale(limit: float, signed: bool) -> tuple[str, float, float]:
    """Return matplotlib's name of the colours of differences, and the grey levels where they begin and end."""
    return ("RdBu_r", -limit, limit) if signed else ("inferno", 0.0, limit)


def paint_difference(difference: np.ndarray, limit: float, signed: bool) -> np.ndarray:
    """Colour a map of differences, pixel by pixel, with the same colour for a value in every map of one `limit`.

    Args:
        difference: H x W, in grey levels.
        limit: grey levels where the colours end.
        signed: blue below 0 and red above; else the absolute value.

    Returns:
        H x W x 3, uint8.
    """
    colors, low, high = difference_scale(limit, signed)
    share = ((difference if signed else np.abs(difference)) - low) / (high - low)
    painted: np.ndarray = colormaps[colors](share, bytes=True)
    return painted[..., :3]


def _show(axes: Axes, image: Tensor, interpolation: str) -> None:
    """Show 1 x 3 x H x W in [0, 1]; "none" keeps enlarged pixels square, "auto" smooths where the picture shrinks."""
    axes.set_axis_off()
    axes.imshow(to_array(image), interpolation=interpolation)


def _write(axes: Axes, line: int, text: str, width: float) -> None:
    """Write a line of text below a picture, as large as `width` inches allow."""
    _annotate(axes, line, text, ha="center", fontsize=min(_FONT, 72 * width / (0.6 * len(text))))


def _write_scores(axes: Axes, own: tuple[float, float], scores: list[tuple[float, float]]) -> None:
    """Write PSNR/SSIM below a crop, each bold where it is the best of several."""
    psnr, ssim = score_texts(*own)
    best_psnr, best_ssim = score_texts(*np.fmax.reduce(scores)) if len(scores) > 1 else ("", "")
    _annotate(axes, 1, f"{psnr}/", ha="right", fontsize=_FONT, weight="bold" if psnr == best_psnr else "normal")
    _annotate(axes, 1, ssim, ha="left", fontsize=_FONT, weight="bold" if ssim == best_ssim else "normal")


def _annotate(axes: Axes, line: int, text: str, **style: Any) -> None:
    below = (0, -3 - 1.3 * _FONT * line)  # in points
    text_below = axes.annotate(
        drawable(text), (0.5, 0), below, xycoords="axes fraction", textcoords="offset points", va="top", **style
    )
    text_below.set_parse_math(False)  # a model may be called anything
