"""Numbers for how far a map reaches, by hand."""

import math

import numpy as np
import pytest
import torch

from analysis.attention.weight_maps import reach, weight_map
from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
from promptsr.support.errors import UserError

GRID = TokenGrid(ModelConfig(channels=8, anchor_stride=4, window_size=8, heads=2), 10, 13)  # padded to 16 x 16


def test_a_single_pixel() -> None:
    values = np.zeros((6, 9), np.float32)
    values[2, 7] = 0.3
    found = reach(values, 3, 5)
    assert found is not None
    assert (found.entropy, found.effective, found.area) == (0.0, 1.0, 1)
    assert (found.distance, found.radius) == pytest.approx((5.0, 5.0))  # 4 across and 3 up


def test_an_even_map() -> None:
    found = reach(np.full((10, 10), 0.01, np.float32), 0, 0)
    assert found is not None
    assert found.entropy == pytest.approx(math.log(100)) and found.effective == pytest.approx(100)
    assert found.area == 90
    distances = sorted(math.hypot(row, column) for row in range(10) for column in range(10))
    assert found.distance == pytest.approx(sum(distances) / 100)
    assert found.radius == pytest.approx(distances[89])


def test_half_here_and_half_in_four_places() -> None:
    values = np.zeros((1, 20))
    values[0, 4], values[0, [14, 15, 16, 17]] = 4, 1
    found = reach(values, 4, 0)
    assert found is not None
    assert found.entropy == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(8))
    assert found.distance == pytest.approx(0.5 * 11.5)
    assert (found.area, found.radius) == (5, 13)  # 90 % need all four


def test_distances_to_anchors_are_to_their_middles() -> None:
    values = np.zeros((3, 4))
    values[1, 2] = 1  # pixels 8 to 11 across, 4 to 7 down
    found = reach(values, 0, 0, stride=4)
    assert found is not None and found.distance == pytest.approx(math.hypot(9.5, 5.5)) and found.area == 1


def test_nothing_reaches_nowhere() -> None:
    assert reach(np.zeros((3, 4)), 0, 0) is None


@pytest.mark.parametrize(("stride", "size"), [(1, (10, 13)), (4, (3, 4))])
def test_what_falls_on_padding_is_told(stride: int, size: tuple[int, int]) -> None:
    side = 16 // stride
    weights = torch.rand(2, side * side, generator=torch.Generator().manual_seed(1))
    cut = weight_map(GRID, weights, stride)
    whole = weights.reshape(2, side, side).double().numpy()
    np.testing.assert_array_equal(cut.values, whole[:, : size[0], : size[1]].astype(np.float32))
    lost = whole.sum((1, 2)) - whole[:, : size[0], : size[1]].sum((1, 2))
    np.testing.assert_allclose(cut.on_padding, lost, atol=1e-6)
    assert cut.padding_share == pytest.approx(lost.sum() / whole.sum()) and cut.stride == stride


def test_without_padding_none_is_lost() -> None:
    grid = TokenGrid(GRID.config, 16, 16)
    assert weight_map(grid, torch.rand(256).softmax(0)).padding_share == 0


@pytest.mark.parametrize("pixel", [(13, 0), (0, 10), (-1, 0), (0, -1)])
def test_pixels_outside_are_refused(pixel: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="outside of the 13 x 10 image"):
        GRID.check_pixel(*pixel)
