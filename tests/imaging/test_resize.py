"""Bicubic resizing against MATLAB's formula, Pillow, and images that MATLAB made."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from promptsr.imaging.metrics import quantize
from promptsr.imaging.resize import crop_to_multiple, downscale, upscale


def noise(height: int, width: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(seed))


def cubic(x: np.ndarray) -> np.ndarray:
    """Keys' kernel with a = -0.5."""
    x = np.abs(x)
    inner = 1.5 * x**3 - 2.5 * x**2 + 1
    outer = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, inner, np.where(x < 2, outer, 0.0))


def matlab_matrix(size: int, scale: float) -> np.ndarray:
    """imresize along one axis, out x in, as MATLAB's `contributions` does it: mirrored at the border."""
    out = round(size * scale)
    stretch = min(scale, 1.0)  # a wider kernel when shrinking
    centre = (np.arange(out) + 0.5) / scale - 0.5
    reach = int(np.ceil(4 / stretch)) + 2
    taps = np.floor(centre - 2 / stretch).astype(int)[:, None] + np.arange(reach + 1)
    weights = stretch * cubic(stretch * (centre[:, None] - taps))
    weights /= weights.sum(1, keepdims=True)
    mirror = np.concatenate([np.arange(size), np.arange(size)[::-1]])
    matrix = np.zeros((out, size))
    for row in range(out):
        np.add.at(matrix[row], mirror[taps[row] % (2 * size)], weights[row])
    return matrix


def matlab_resize(image: Tensor, scale: float) -> np.ndarray:
    rows, columns = (matlab_matrix(size, scale) for size in image.shape[2:])
    return np.einsum("oh,bchw,pw->bcop", rows, image.double().numpy(), columns)


def interior(image: np.ndarray, border: int) -> np.ndarray:
    return image[..., border:-border, border:-border]


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("shrink", [True, False])
def test_both_ways_are_matlabs_away_from_the_border(scale: int, shrink: bool) -> None:
    image = noise(12 * scale, 9 * scale, batch=2) if shrink else noise(11, 8, batch=2)
    expected = matlab_resize(image, 1 / scale if shrink else scale)
    found = (downscale(image, scale) if shrink else upscale(image, scale)).numpy()
    assert found.shape == expected.shape == ((2, 3, 12, 9) if shrink else (2, 3, 11 * scale, 8 * scale))
    border = 2 if shrink else 2 * scale
    np.testing.assert_allclose(interior(found, border), interior(expected, border), atol=1e-6)


@given(
    height=st.integers(1, 20),
    width=st.integers(1, 20),
    scale=st.sampled_from([1, 2, 3, 4, 8]),
    shrink=st.booleans(),
    seed=st.integers(0, 9),
)
def test_every_pixel_is_pillows(height: int, width: int, scale: int, shrink: bool, seed: int) -> None:
    image = noise(height * scale, width * scale, seed=seed) if shrink else noise(height, width, seed=seed)
    found = downscale(image, scale) if shrink else upscale(image, scale)
    for channel in range(3):
        picture = Image.fromarray(image[0, channel].numpy())
        expected = np.asarray(picture.resize((found.shape[3], found.shape[2]), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(found[0, channel].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize(("height", "width"), [(9, 8), (8, 9), (1, 1)])
def test_sizes_that_do_not_divide_are_an_error(height: int, width: int) -> None:
    with pytest.raises(ValueError, match="not a multiple of 4"):
        downscale(noise(height, width), 4)


@given(height=st.integers(1, 30), width=st.integers(1, 30), multiple=st.integers(1, 9))
def test_crop_drops_the_rest_at_the_bottom_and_on_the_right(height: int, width: int, multiple: int) -> None:
    image = noise(height, width)
    cropped = crop_to_multiple(image, multiple)
    rows, columns = height // multiple * multiple, width // multiple * multiple
    assert cropped.shape == (1, 3, rows, columns)
    assert torch.equal(cropped, image[:, :, :rows, :columns])


def rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(values + 0.5), 0, 255)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_images_made_by_matlab_differ_by_one_level(shared_data: Path, scale: int) -> None:
    folder = shared_data / "data" / "bench" / "Set5" / f"x{scale}"
    pairs = list(zip(sorted((folder / "HR").iterdir()), sorted((folder / "LR").iterdir()), strict=True))
    assert len(pairs) == 5
    reference, ours = [], []
    for hr_path, lr_path in pairs:
        hr, lr = (np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in (hr_path, lr_path))
        image = crop_to_multiple(torch.as_tensor(hr / 255)[None], scale)
        rows, columns = (matlab_matrix(size, 1 / scale) for size in image.shape[2:])
        # MATLAB rounds to 8 bit between the two axes, which is why we cannot be equal
        once = rounded(np.einsum("oh,chw->cow", rows, image[0].numpy() * 255))
        reference.append(interior(rounded(np.einsum("pw,cow->cop", columns, once)) - lr, 2).ravel())
        made = (quantize(downscale(image.float(), scale))[0] * 255).round().numpy()
        ours.append(interior(made - lr, 2).ravel())
    # The reference of this file is what made these images, but for values halfway between two levels
    assert np.mean(np.concatenate(reference) != 0) < 1e-4
    differences = np.abs(np.concatenate(ours))
    assert differences.max() <= 2 and np.mean(differences > 1) < 1e-4
