"""Places worth a look: where results disagree most, where one is worst, and where there is most texture."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from torch import Tensor

from analysis.common.image_windows import Region, window_means
from promptsr.imaging.metrics import luma
from promptsr.support.errors import UserError

KINDS = {"disagreement": "Largest disagreement", "hardest": "Hardest window", "texture": "Most texture"}
"""Kinds of places, with their labels."""


def suggest(kind: str, lr: Tensor, hr: Tensor | None, results: Sequence[Tensor], size: int) -> Region:
    """Return the square window that is worth a look; of equal ones the first, row by row.

    Args:
        kind: "disagreement" for the largest mean absolute difference of two results on Y, "hardest" for the largest
            mean squared error of the last result on Y, "texture" for the largest mean gradient of Y in the HR image
            or, without it, in the first result (without results, in the input).
        lr: input, 1 x 3 x H x W in [0, 1].
        hr: HR image, 1 x 3 x sH x sW in [0, 1], if there is one.
        results: of the models, each 1 x 3 x sH x sW in [0, 1].
        size: side of the window in pixels of the results; a smaller image limits it.

    Raises:
        UserError: there is no such kind, a size below 1, fewer than two results to disagree, or no HR image or no
            result to measure the hardest window by.
    """
    if kind == "disagreement":
        if len(results) < 2:
            raise UserError("Only different results can disagree: choose two models or more.")
        maps = [np.abs(a - b) for a, b in combinations(map(_grey, results), 2)]
    elif kind == "hardest":
        if hr is None or not results:
            raise UserError("The hardest window is known by an HR image and a result: choose another suggestion.")
        maps = [(_grey(results[-1]) - _grey(hr)) ** 2]
    elif kind == "texture":
        maps = [_gradient(_grey(next(iter(results), lr) if hr is None else hr))]
    else:
        raise UserError(f"There is no suggestion {kind}: choose one of {', '.join(KINDS)}.")
    height, width = maps[0].shape
    side = min(size, height, width)
    Region(0, 0, side).check(height, width)
    rows, columns = np.arange(height - side + 1), np.arange(width - side + 1)
    means = np.max([window_means(each, side, rows, columns) for each in maps], axis=0)
    best = means >= means.max() - 1e-9 * (1 + means.max())  # sums of equal values differ in their last digits
    y, x = np.unravel_index(np.argmax(best), best.shape)
    return Region(int(x), int(y), side)


def _grey(image: Tensor) -> np.ndarray:
    """Return Y in grey levels: 1 x 3 x H x W in [0, 1] -> H x W."""
    return luma(image)[0, 0].numpy()


def _gradient(values: np.ndarray) -> np.ndarray:
    """Return the length of the gradient by differences to the pixels above and to the left, H x W; 0 at the border."""
    down, across = (np.diff(values, axis=axis, prepend=values.take([0], axis)) for axis in (0, 1))
    return np.hypot(down, across)
