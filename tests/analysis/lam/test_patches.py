"""Which windows are taken, and the patches around them."""

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.lam.patches import find_regions, patch_around
from promptsr.imaging.resize import downscale
from promptsr.support.errors import ConfigError, UserError

SCALE = 4


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """1 x 3 x 128 x 128."""
    return downscale(torch.from_numpy(data.astronaut() / 255).float().permute(2, 0, 1)[None], 4)


@pytest.mark.parametrize("half_flat", [True, False])
def test_regions_are_textured_and_do_not_overlap(photo: Tensor, half_flat: bool) -> None:
    photo = photo.clone()
    if half_flat:
        photo[..., :, :64] = 0.5
    regions = find_regions(photo, SCALE, count=100, window=16)
    assert len(regions) == 100 == len({(region.x, region.y) for region in regions})
    y = (photo[0] * torch.tensor([65.481, 128.553, 24.966])[:, None, None]).sum(0).numpy()
    slope = np.hypot(*np.gradient(y)).repeat(SCALE, 0).repeat(SCALE, 1)
    means = [slope[i : i + 16, j : j + 16].mean() for i in range(0, 496, 16) for j in range(0, 496, 16)]
    for region in regions:
        assert region.x % 16 == region.y % 16 == 0
        region.check(512, 512, margin=1)
        assert region.crop(torch.from_numpy(slope)).mean() >= max(2, 0.999 * np.median(means))
        assert region.x >= 240 or not half_flat


def test_flat_or_tiny_images_have_no_regions(photo: Tensor) -> None:
    assert find_regions(torch.full((1, 3, 32, 32), 0.3), SCALE, count=4, window=16) == []
    assert find_regions(photo[..., :4, :], SCALE, count=4, window=16) == []  # no pixel to spare below


@pytest.mark.parametrize(
    ("x", "y", "corner"),
    [(100, 200, (27 - 10, 52 - 10)), (0, 0, (0, 0)), (495, 3, (108, 0)), (101, 495, (27 - 10, 108))],
)
def test_patch_holds_the_window(photo: Tensor, x: int, y: int, corner: tuple[int, int]) -> None:
    hr = photo.repeat_interleave(SCALE, 2).repeat_interleave(SCALE, 3)
    patch = patch_around(Region(x, y, 16), 20, SCALE, photo, hr)
    assert (patch.x, patch.y) == corner
    assert torch.equal(patch.lr, photo[..., patch.y : patch.y + 20, patch.x : patch.x + 20])
    assert patch.hr is not None
    assert torch.equal(patch.region.crop(patch.hr), hr[..., y : y + 16, x : x + 16])
    patch.region.check(80, 80, margin=1)


@pytest.mark.parametrize("window", [1, 2, 7, 16])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_smallest_patch_is_large_enough_anywhere(photo: Tensor, window: int, scale: int) -> None:
    side = -(-(window + 2) // scale) + 2
    for place in range(0, 24 * scale - window):
        patch = patch_around(Region(place, place, window), side, scale, photo[..., :24, :24])
        patch.region.check(side * scale, side * scale, margin=1)
    with pytest.raises(ConfigError, match=f"use {side} or more"):
        patch_around(Region(0, 0, window), side - 1, scale, photo)


def test_small_images_are_taken_whole(photo: Tensor) -> None:
    small = photo[..., :30, :100]
    patch = patch_around(Region(200, 50, 16), 64, SCALE, small)
    assert patch.lr.shape[2:] == (30, 64) and patch.y == 0 and patch.hr is None
    with pytest.raises(UserError, match="does not lie in"):
        patch_around(Region(200, 104, 16), 64, SCALE, small)
