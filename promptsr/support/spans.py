"""Cut an axis into tiles that overlap, and weights that blend them."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Span:
    """Extent of one tile along one axis."""

    low: slice
    """Pixels of the input."""
    high: slice
    """Pixels of the output."""
    weight: Tensor
    """float32 in [0, 1], one value per output pixel of the tile. At every output pixel the spans' weights sum to 1."""


def spans(length: int, tile: int, overlap: int, scale: int) -> list[Span]:
    """Cut one axis into the fewest spans of equal size that overlap by at least `overlap` pixels.

    The last one is shifted inward to end with the image. Where two neighbours overlap, the weight of the later one
    rises from 0 to 1 as a straight line. The line leaves out a quarter of `overlap` at either end, where one of the
    two knows too little of what lies beyond its edge: those pixels come from the other tile alone.

    Args:
        length: input pixels along the axis; if `tile` is no smaller, there is a single span.
        overlap: input pixels; no more than half a tile is used.
    """
    size = min(tile, length)
    margin = min(overlap, size // 2) // 4
    starts = tile_starts(length, tile, overlap)

    centers = torch.arange(scale * length, dtype=torch.float64) + 0.5
    uncovered = torch.ones_like(centers)  # weight that the later spans leave to the earlier ones
    result = []
    for previous, start in reversed(list(zip([None, *starts], starts, strict=False))):
        rise = torch.ones_like(centers)
        if previous is not None:
            low, high = scale * (start + margin), scale * (previous + size - margin)
            rise = ((centers - low) / (high - low)).clamp(0, 1)  # a step if low == high: no center lies on it
        covered = slice(scale * start, scale * (start + size))
        result.append(Span(slice(start, start + size), covered, (uncovered * rise)[covered].float()))
        uncovered = uncovered * (1 - rise)
    return result[::-1]


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return the first input pixel of every tile along one axis, see `spans`."""
    size = min(tile, length)
    overlap = min(overlap, size // 2)
    return [min(start, length - size) for start in range(0, length - overlap, size - overlap)]
