"""Numbers for how far a map reaches, by hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from analysis.attention.weight_maps import Reach, reach, weight_map
from analysis.common.token_grid import TokenGrid
from promptsr.support.errors import UserError
from tests.analysis.attention.conftest import CONFIG

GRID = TokenGrid(CONFIG, 10, 13)  # padded to 16 x 16


FROM_THE_CORNER = sorted(math.hypot(row, column) for row in range(10) for column in range(10))
TO_THE_SQUARE = math.hypot(9.5, 5.5)


@pytest.mark.parametrize(
    ("shape", "weights", "pixel", "stride", "expected"),
    [
        ((6, 9), {(2, 7): 0.3}, (3, 5), 1, Reach(0, 1, distance=5, radius=5, area=1)),  # 4 across and 3 up
        (
            (10, 10), {place: 0.01 for place in np.ndindex(10, 10)}, (0, 0), 1,
            Reach(math.log(100), 100, distance=sum(FROM_THE_CORNER) / 100, radius=FROM_THE_CORNER[89], area=90),
        ),
        # Half here and half in four places: 90 % need all four.
        (
            (1, 20), {(0, 4): 4, (0, 14): 1, (0, 15): 1, (0, 16): 1, (0, 17): 1}, (4, 0), 1,
            Reach(0.5 * math.log(2) + 0.5 * math.log(8), 4, distance=0.5 * 11.5, radius=13, area=5),
        ),
        # The middle of a square of pixels 8 to 11 across, 4 to 7 down.
        ((3, 4), {(1, 2): 1}, (0, 0), 4, Reach(0, 1, distance=TO_THE_SQUARE, radius=TO_THE_SQUARE, area=1)),
    ],
)  # fmt: skip
def test_reach_by_hand(
    shape: tuple[int, int], weights: dict[Any, float], pixel: tuple[int, int], stride: int, expected: Reach
) -> None:
    values = np.zeros(shape, np.float32)
    for place, weight in weights.items():
        values[place] = weight
    assert vars(reach(values, *pixel, stride)) == pytest.approx(vars(expected))
    assert reach(np.zeros(shape), *pixel, stride) is None


@pytest.mark.parametrize(("stride", "size"), [(1, (10, 13)), (4, (3, 4))])
def test_what_falls_on_padding_is_told(stride: int, size: tuple[int, int]) -> None:
    side = 16 // stride
    weights = torch.rand(2, side * side, generator=torch.Generator().manual_seed(1))
    cut = weight_map(GRID, weights, stride)
    whole = weights.reshape(2, side, side).double().numpy()
    np.testing.assert_array_equal(cut.values, whole[:, : size[0], : size[1]].astype(np.float32))
    lost = whole.sum((1, 2)) - whole[:, : size[0], : size[1]].sum((1, 2))
    assert cut.padding_share == pytest.approx(lost.sum() / whole.sum()) and cut.stride == stride
    assert weight_map(TokenGrid(CONFIG, 16, 16), weights, stride).padding_share == 0


@pytest.mark.parametrize("pixel", [(13, 0), (0, 10), (-1, 0), (0, -1)])
def test_pixels_outside_are_refused(pixel: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="outside of the 13 x 10 image"):
        GRID.check_pixel(*pixel)
