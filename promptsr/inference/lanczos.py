"""Resize pictures of any size by the antialiased Lanczos filter of three lobes, strip by strip."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from promptsr.imaging.picture import Picture, to_pixels, to_unit
from promptsr.support.large_arrays import release

_LOBES = 3
_LINES = 64
"""Lines of the result that are made at a time; fewer where those of the source hold more than `_PART` values."""
_PART = 2**23
WORKING_MEMORY = 8 * 4 * _PART
"""Bytes that a strip needs."""


def resize(source: Picture, target: Picture) -> Iterator[None]:
    """Replace the pixels of `target` by those of `source`, resized; yield after every strip.

    As in Pillow, each line is filtered before the columns, and values are clamped after both. Colours are weighted by
    their alpha, so that transparent pixels leave no edges; where the result is transparent as well, they are not.

    Args:
        target: of any size, with the depth of `source`, and with alpha if that has. Arrays of both may lie in files.
    """
    stretch = max(1.0, source.height / target.height)
    window = _PART // (max(source.width, target.width) * (3 if source.alpha is None else 7))
    count = max(1, min(_LINES, int(window / stretch) - 2 * _LOBES))
    for start in range(0, target.height, count):
        lines = slice(start, min(start + count, target.height))
        read, weights = _weights(source.height, target.height, lines)
        values = _planes(source, read)
        narrow = F.interpolate(values[None], (values.shape[1], target.width), mode="lanczos", antialias=True)[0]
        color, alpha = _colors(torch.matmul(weights, narrow.clamp_(0, 1)).clamp_(0, 1), source.bit_depth)
        target.color[lines] = to_pixels(color.permute(1, 2, 0), source.bit_depth)
        if target.alpha is not None:
            target.alpha[lines] = to_pixels(alpha, source.bit_depth)
        for array in (source.color, source.alpha, target.color, target.alpha):
            if array is not None:
                release(array)
        yield


def _planes(picture: Picture, lines: slice) -> Tensor:
    """Return values in [0, 1] to filter: colours, and with alpha also colours times alpha, and it; C x n x W."""
    color = to_unit(picture.color[lines]).permute(2, 0, 1)  # n x W x 3 -> 3 x n x W
    if picture.alpha is None:
        return color.contiguous()
    alpha = to_unit(picture.alpha[lines])[None]
    return torch.cat([color, color * alpha, alpha])


def _colors(planes: Tensor, bit_depth: int) -> tuple[Tensor, Tensor]:
    """Return colours, 3 x n x W, and alpha, n x W, of filtered `_planes`."""
    color, alpha = planes[:3], planes[-1]
    if len(planes) > 3:
        visible = alpha > 0.5 / (2**bit_depth - 1)
        color = torch.where(visible, planes[3:6] / alpha.where(visible, 1), color)
    return color, alpha


def _weights(size: int, resized: int, lines: slice) -> tuple[slice, Tensor]:
    """Return the pixels of one axis that lines of the result need, and the weight of each: n x m float32.

    Args:
        size: of the axis; `resized` likewise.
    """
    factor = size / resized
    stretch = max(1.0, factor)  # a wider filter when it shrinks
    centers = (np.arange(lines.start, lines.stop) + 0.5) * factor
    reach = _LOBES * stretch
    read = slice(max(0, math.floor(centers[0] - reach)), min(size, math.ceil(centers[-1] + reach)))
    offsets = (np.arange(read.start, read.stop) + 0.5 - centers[:, None]) / stretch
    weights = np.where(abs(offsets) < _LOBES, np.sinc(offsets) * np.sinc(offsets / _LOBES), 0)
    return read, torch.from_numpy(weights / weights.sum(1, keepdims=True)).float()
