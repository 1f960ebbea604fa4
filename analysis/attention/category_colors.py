"""Categories of pixels as colours: the same anchor has the same colour in every picture."""

import numpy as np
import skimage
from matplotlib.colors import to_rgb

_CORNERS = (("#1f9cf0", "#dc5ce6"), ("#35b32c", "#fb6a2c"))
"""Colours of the outermost anchors: top left and right, bottom left and right."""
_STEP = 7.0
"""L* of CIELAB by which neighbours are lighter and darker than that."""
_COVER = 0.66
"""Opacity of the colours over the photograph."""
_BORDER = 0.2
"""Grey level of the lines between categories, half transparent."""


def category_colors(labels: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return the colour of each category by the place of its anchor, mixed in CIELAB from those of four corners.

    The same anchor has the same colour in every map of an image. Anchors that are near each other have similar colours;
    a step of lightness, as between the fields of a chessboard, tells neighbours apart.

    Args:
        labels: indices of anchors in reading order, of any shape.
        rows: rows of the anchor grid, on the padded image.
        columns: its columns.

    Returns:
        labels.shape x 3, sRGB in [0, 1].
    """
    corners = skimage.color.rgb2lab(np.array([[to_rgb(color) for color in line] for line in _CORNERS]))  # 2 x 2 x 3
    down, across = (np.linspace(0, 1, count)[:, None] for count in (rows, columns))
    sides = (1 - down[:, None]) * corners[0] + down[:, None] * corners[1]  # rows x 2 x 3, left and right
    lab = (1 - across) * sides[:, :1] + across * sides[:, 1:]  # rows x columns x 3
    lab[..., 0] += _STEP * (1 - 2 * (np.indices((rows, columns)).sum(0) % 2))
    table = skimage.color.lab2rgb(lab).reshape(-1, 3)
    colors: np.ndarray = table[labels]
    return colors


def category_overlay(labels: np.ndarray, anchor_grid: tuple[int, int], photo: np.ndarray, zoom: int = 4) -> np.ndarray:
    """Lay the colours of categories over the image in grey, with grey lines between categories.

    Args:
        labels: H x W.
        anchor_grid: rows and columns of anchors, see `category_colors`.
        photo: H x W x 3 in [0, 1].
        zoom: how many times larger the result is; a line is one of its pixels wide. With 1 there are no lines.

    Returns:
        zoom H x zoom W x 3 in [0, 1].
    """
    grey = 0.15 + 0.75 * photo.mean(axis=2, keepdims=True)
    mixed = _COVER * category_colors(labels, *anchor_grid) + (1 - _COVER) * grey
    large = mixed.repeat(zoom, axis=0).repeat(zoom, axis=1)
    if zoom > 1:
        wide = labels.repeat(zoom, axis=0).repeat(zoom, axis=1)
        line = np.zeros(wide.shape, dtype=bool)
        line[1:] |= wide[1:] != wide[:-1]
        line[:, 1:] |= wide[:, 1:] != wide[:, :-1]
        large[line] = (large[line] + _BORDER) / 2
    return large
