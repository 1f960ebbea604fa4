"""PSNR-Y and SSIM-Y against scikit-image, and the published scores of bicubic interpolation."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import evaluate
from promptsr.imaging.metrics import luma, psnr_y, quantize, ssim_y
from promptsr.zoo.load import load_model


def pair(height: int, width: int, seed: int, noise: float) -> tuple[Tensor, Tensor]:
    """A random 8-bit image with smooth parts, and a noisy version of it."""
    rng = np.random.default_rng(seed)
    smooth = np.linspace(0, 1, width) * np.linspace(1, 0.2, height)[:, None]
    hr = 0.7 * smooth[..., None] + 0.3 * rng.random((height, width, 3))
    sr = hr + noise * rng.standard_normal(hr.shape)
    first, second = (torch.as_tensor(image).permute(2, 0, 1)[None].float() for image in (sr, hr))
    return quantize(first), quantize(second)


def y_channel(image: Tensor, border: int) -> np.ndarray:
    """Y by scikit-image, cropped: H x W."""
    y = rgb2ycbcr(image[0].permute(1, 2, 0).double().numpy())[..., 0]
    return np.asarray(y[border : y.shape[0] - border, border : y.shape[1] - border])


@given(
    height=st.integers(20, 50),
    width=st.integers(20, 50),
    border=st.integers(0, 4),
    seed=st.integers(0, 99),
    noise=st.sampled_from([0.005, 0.05, 0.5]),
)
def test_scores_are_scikit_images(height: int, width: int, border: int, seed: int, noise: float) -> None:
    sr, hr = pair(height, width, seed, noise)
    x, y = y_channel(sr, border), y_channel(hr, border)
    assert psnr_y(sr, hr, border) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255), abs=1e-6)
    # scikit-image averages over the valid region as well: it leaves out half a window on every side.
    expected = structural_similarity(
        y, x, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim_y(sr, hr, border) == pytest.approx(expected, abs=1e-6)


def test_luma_is_bt601() -> None:
    corners = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]).float().T[None, :, :, None]
    y = luma(corners).flatten()
    assert y.dtype == torch.float64 and luma(corners).shape == (1, 1, 8, 1)
    assert y[0] == 16 and y[7] == pytest.approx(235)
    np.testing.assert_allclose(y, rgb2ycbcr(corners[0].permute(1, 2, 0).double().numpy())[..., 0].ravel(), atol=1e-9)


def test_known_errors_have_known_scores() -> None:
    hr = torch.full((1, 3, 20, 20), 100 / 255)
    assert psnr_y(hr, hr, 2) == math.inf and ssim_y(hr, hr, 2) == pytest.approx(1)
    sr = torch.full((1, 3, 20, 20), 101 / 255)  # Y spans 219 of 255 levels: one level of grey is 219/255 of Y
    assert psnr_y(sr, hr, 2) == pytest.approx(20 * math.log10(255 * 255 / 219), abs=1e-4)


def test_only_what_is_inside_the_border_counts() -> None:
    sr, hr = pair(30, 26, 0, 0.05)
    for border in (1, 4):
        spoiled = torch.rand_like(sr)
        inside = (..., slice(border, -border), slice(border, -border))
        spoiled[inside] = sr[inside]
        assert psnr_y(spoiled, hr, border) == psnr_y(sr, hr, border) != psnr_y(spoiled, hr, border - 1)
        assert ssim_y(spoiled, hr, border) == ssim_y(sr, hr, border) != ssim_y(spoiled, hr, border - 1)


@pytest.mark.parametrize(("size", "border", "measured"), [(11, 0, True), (10, 0, False), (19, 4, True), (18, 4, False)])
def test_ssim_needs_a_whole_window(size: int, border: int, measured: bool) -> None:
    for shape in ((size, 30), (30, size)):
        assert math.isnan(ssim_y(*pair(*shape, 0, 0.05), border)) is not measured


@given(value=st.floats(-1, 2, width=32))
def test_quantize_gives_the_nearest_level(value: float) -> None:
    level = float(quantize(torch.tensor([[[[value]]]]))) * 255
    assert level == pytest.approx(round(level), abs=1e-4) and 0 <= round(level) <= 255
    assert abs(level - 255 * min(max(value, 0), 1)) <= 0.5 + 1e-4


# data/README.md, next to the images
PUBLISHED = {"Set5": {2: 33.68, 3: 30.41, 4: 28.43}, "Set14": {2: 30.33, 3: 27.63, 4: 26.09}}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", PUBLISHED)
def test_bicubic_scores_as_published(shared_data: Path, name: str, scale: int) -> None:
    folder = shared_data / "data" / "bench" / name / f"x{scale}" / "HR"
    scores = list(evaluate(load_model(f"bicubic-x{scale}"), find_pairs(folder, None)))
    assert len(scores) == {"Set5": 5, "Set14": 14}[name]
    mean = sum(score.psnr_y for score in scores) / len(scores)
    print(f"{name} x{scale}: {mean:.4f} dB")
    assert mean == pytest.approx(PUBLISHED[name][scale], abs=0.03)
