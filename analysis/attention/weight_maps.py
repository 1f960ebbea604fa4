"""Weights over the pixels of an image, and numbers for their spread."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from analysis.common.token_grid import TokenGrid

SHARE = 0.9
"""Share of the weight that radius and area of a `Reach` hold."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Reach:
    """Spread of a map; weights are taken as shares of the weight on the image."""

    entropy: float
    """Entropy in nats: 0 for a single square, log n for an even spread over n of them."""
    effective: float
    """exp(entropy), the effective number of squares: pixels of the map, or anchors."""
    distance: float
    """Mean distance from the chosen pixel to the middle of the squares, input pixels."""
    radius: float
    """Radius of the smallest disc around the chosen pixel that holds 90 % of the weight, input pixels."""
    area: int
    """Fewest squares that hold 90 % of the weight."""


@dataclass(frozen=True, eq=False)
class WeightMap:
    """Weights on an image, without what fell on its padding."""

    values: np.ndarray
    """... x h x w, one value for `stride` x `stride` input pixels; not negative."""
    padding_share: float = 0.0
    """Share of all weight that fell on squares that lie wholly in the padding."""
    stride: int = 1

    @property
    def by_head(self) -> np.ndarray:
        """Return the values as heads x h x w, also for a single map."""
        return self.values.reshape(-1, *self.values.shape[-2:])


def weight_map(grid: TokenGrid, weights: Tensor, stride: int = 1) -> WeightMap:
    """Cut weights on the padded image, ... x HW/stride^2, to the image."""
    whole = weights.detach().unflatten(-1, [side // stride for side in grid.padded]).float().cpu().numpy()
    rows, columns = grid.size(stride)
    values = whole[..., :rows, :columns]
    kept, total = (float(part.sum(dtype=np.float64)) for part in (values, whole))
    return WeightMap(values, 1 - kept / total if total else 0.0, stride)


def reach(values: np.ndarray, x: int, y: int, stride: int = 1) -> Reach | None:
    """Measure the spread of a map as seen from a pixel.

    Args:
        values: h x w, not negative.
        x: column of the chosen pixel, input pixels.
        y: its row.
        stride: input pixels along the side of a square of the map.

    Returns:
        The numbers, or None for a map that is 0 everywhere.
    """
    total = values.sum(dtype=np.float64)
    if not total:
        return None
    share = values.astype(np.float64).ravel() / total
    rows, columns = (stride * (np.arange(side) + 0.5) - 0.5 for side in values.shape)
    distance = np.hypot(rows[:, None] - y, columns[None] - x).ravel()
    some = share[share > 0]
    entropy = float(-(some * np.log(some)).sum())
    outward = np.argsort(distance, kind="stable")
    inner = np.searchsorted(share[outward].cumsum(), SHARE - _ROUNDING)
    area = np.searchsorted(np.sort(share)[::-1].cumsum(), SHARE - _ROUNDING) + 1
    return Reach(entropy, float(np.exp(entropy)), float(share @ distance), float(distance[outward][inner]), int(area))
