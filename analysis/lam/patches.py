"""The part of an image that a local attribution map is made of: which windows, and the patch around each.

The diffusion index depends on the size of the input, so only maps of patches of one size can be compared.
"""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from analysis.common.image_windows import Region, window_means
from analysis.failures.texture import gradient
from promptsr.imaging.metrics import luma
from promptsr.support.errors import ConfigError

LEAST_GRADIENT = 2.0
"""Grey levels per LR pixel: a window with less in the mean is flat."""


@dataclass(frozen=True, eq=False)
class Patch:
    """A patch of an image with a window in it."""

    x: int
    y: int
    """Top-left corner in the LR image."""
    lr: Tensor
    """1 x 3 x H x W in [0, 1]."""
    hr: Tensor | None
    """1 x 3 x sH x sW in [0, 1], if there is one."""
    region: Region
    """The window, in output pixels of the patch."""


def find_regions(lr: Tensor, scale: int, *, count: int, window: int, seed: int = 0) -> list[Region]:
    """Draw textured windows of an image at random, the same ones for the same seed.

    The candidates are the windows of a grid without overlap whose mean gradient of luma (of the LR image, so that no
    model nor HR image has a say) is `LEAST_GRADIENT` or more and in the upper half of the image.

    Args:
        lr: 1 x 3 x H x W in [0, 1].
        scale: of the output.
        count: regions at most; fewer if there are no more candidates.
        window: side in output pixels.
        seed: of the draw.
    """
    slope = gradient(luma(lr)[0, 0].numpy()).repeat(scale, axis=0).repeat(scale, axis=1)  # sH x sW
    rows, columns = (np.arange(0, length - window, window) for length in slope.shape)  # one pixel to spare
    if not rows.size or not columns.size:
        return []
    means = window_means(slope, window, rows, columns)
    candidates = np.argwhere((means >= LEAST_GRADIENT) & (means >= np.median(means)))
    drawn = np.random.default_rng(seed).permutation(candidates)[:count]
    return [Region(int(columns[j]), int(rows[i]), window) for i, j in drawn]


def check_side(side: int, window: int, scale: int) -> None:
    """Raise a ConfigError if patches of `side` LR pixels are too small for windows of `window` output pixels."""
    least = math.ceil((window + 2) / scale) + 2
    if side < least:
        raise ConfigError(f"A patch of {side} input pixels is too small for a window of {window}: use {least} or more.")


def patch_around(region: Region, side: int, scale: int, lr: Tensor, hr: Tensor | None = None) -> Patch:
    """Cut the patch in whose middle a window lies, or nearly so close to a border.

    Args:
        region: in output pixels; it ends at least one pixel before the right and bottom border.
        side: of the patch, in LR pixels; an image that is smaller is taken whole.
        scale: of the output.
        lr: 1 x 3 x H x W in [0, 1].
        hr: 1 x 3 x sH x sW in [0, 1].

    Raises:
        UserError: the window leaves the image, or the patch is too small for it.
    """
    region.check(scale * lr.shape[2], scale * lr.shape[3], margin=1)
    check_side(side, region.size, scale)

    def first(start: int, length: int) -> int:  # in LR pixels
        return min(max((start + region.size // 2) // scale - side // 2, 0), max(length - side, 0))

    y, x = first(region.y, lr.shape[2]), first(region.x, lr.shape[3])

    def cut(image: Tensor, factor: int) -> Tensor:
        return image[..., factor * y : factor * (y + side), factor * x : factor * (x + side)]

    inset = Region(region.x - scale * x, region.y - scale * y, region.size)
    return Patch(x, y, cut(lr, 1), None if hr is None else cut(hr, scale), inset)
