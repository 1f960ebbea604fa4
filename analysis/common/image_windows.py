"""Square windows over an image: where they lie, the mean of a map in each, and the best ones that hardly overlap."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from promptsr.support.errors import UserError


@dataclass(frozen=True)
class Region:
    """A square window of an output image by its top-left corner, in output pixels."""

    x: int
    y: int
    size: int

    def crop(self, image: Tensor) -> Tensor:
        """B x C x sH x sW -> B x C x size x size."""
        return image[..., self.y : self.y + self.size, self.x : self.x + self.size]

    def check(self, height: int, width: int, margin: int = 0) -> None:
        """Raise a UserError if the region, with `margin` at its far ends, leaves an image of this size."""
        right, bottom = self.x + self.size + margin, self.y + self.size + margin
        if self.size < 1 or min(self.x, self.y) < 0 or right > width or bottom > height:
            raise UserError(
                f"A window of {self.size} pixels at ({self.x}, {self.y}) does not lie in the {width} x {height} "
                f"image{f' with {margin} pixel to spare' if margin else ''}: choose another place or a smaller window."
            )


def middle(image: Tensor, side: int) -> Tensor:
    """Cut the middle out of an image, at most `side` pixels a side: B x C x H x W -> B x C x h x w."""
    height, width = image.shape[2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return image[:, :, top : top + side, left : left + side]


def starts(length: int, window: int, stride: int) -> np.ndarray:
    """Return the first pixels of the windows along one side, the last one flush with the end; empty if none fits."""
    regular = np.arange(0, length - window + 1, stride)
    return np.union1d(regular, length - window) if len(regular) else regular


def window_means(values: np.ndarray, window: int, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return means of a map, ... x H x W, over the windows that begin at R rows and C columns: ... x R x C."""
    edge = [(0, 0)] * (values.ndim - 2)
    sums = np.pad(values.cumsum(axis=-2).cumsum(axis=-1), [*edge, (1, 0), (1, 0)])  # an integral image
    bands = sums[..., rows + window, :] - sums[..., rows, :]  # ... x R x (W + 1)
    means: np.ndarray = (bands[..., columns + window] - bands[..., columns]) / window**2
    return means


def pick(
    values: np.ndarray, window: int, rows: np.ndarray, columns: np.ndarray, *, count: int, above: float, overlap: float
) -> list[tuple[int, int]]:
    """Return the places of the highest values, highest first, each the best that overlaps no earlier one too much.

    Args:
        values: of the windows that begin at R rows and C columns: R x C.
        count: at most so many.
        above: only values greater than this.
        overlap: the share of its area that a window may have in common with another.
    """
    left = np.where(values > above, values, -np.inf)
    chosen: list[tuple[int, int]] = []
    while len(chosen) < count and left.max(initial=-np.inf) > above:
        row, column = np.unravel_index(np.argmax(left), left.shape)
        chosen.append((int(row), int(column)))
        common = [np.clip(window - np.abs(line - line[i]), 0, None) for line, i in ((rows, row), (columns, column))]
        left[np.outer(*common) > overlap * window**2] = -np.inf
        left[row, column] = -np.inf
    return chosen
