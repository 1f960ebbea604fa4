"""PSNR-Y and SSIM-Y against scikit-image, MS-SSIM and GMSD against pytorch-msssim, piq and their authors' formulas, and
the published scores of bicubic interpolation."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_msssim import ms_ssim as reference_ms_ssim
from scipy import ndimage
from scipy.signal import convolve2d
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor

from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import evaluate
from promptsr.imaging.metrics import gmsd, luma, ms_ssim, psnr_y, quantize, ssim_y
from promptsr.zoo.load import load_model


def noisy_pairs(shortest: int, longest: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a test arguments of `pair` with sides in pixels between these, and a border."""
    side = st.integers(shortest, longest)
    noise = st.sampled_from([0.005, 0.05, 0.5])
    return given(height=side, width=side, border=st.integers(0, 4), seed=st.integers(0, 99), noise=noise)


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


@noisy_pairs(20, 50)
def test_scores_are_scikit_images(height: int, width: int, border: int, seed: int, noise: float) -> None:
    sr, hr = pair(height, width, seed, noise)
    x, y = y_channel(sr, border), y_channel(hr, border)
    assert psnr_y(sr, hr, border) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=255), abs=1e-6)
    # scikit-image averages over the valid region as well: it leaves out half a window on every side.
    expected = structural_similarity(
        y, x, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim_y(sr, hr, border) == pytest.approx(expected, abs=1e-6)


def grey(image: Tensor, border: int) -> np.ndarray:
    """Grey levels of an image, cropped: H x W in [0, 255]."""
    weights = np.array([0.299, 0.587, 0.114])
    levels = 255 * (image[0].permute(1, 2, 0).double().numpy() @ weights)
    return np.asarray(levels[border : levels.shape[0] - border, border : levels.shape[1] - border])


@noisy_pairs(184, 230)
@settings(max_examples=10)
def test_ms_ssim_is_that_of_the_authors_code(height: int, width: int, border: int, seed: int, noise: float) -> None:
    sr, hr = pair(height, width, seed, noise)
    x, y = grey(sr, border), grey(hr, border)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    expected = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        shared, total = (2 * covariance(x, y) + 58.5225, covariance(x, x) + covariance(y, y) + 58.5225)
        expected *= (shared / total).mean() ** weight
        # imfilter(image, ones(2)/4, 'symmetric', 'same'), then image(1:2:end, 1:2:end)
        x, y = (ndimage.uniform_filter(image, 2, mode="reflect", origin=-1)[::2, ::2] for image in (x, y))
    expected *= structural_similarity(y, x, **options) ** 0.1333
    assert ms_ssim(sr, hr, border) == pytest.approx(expected, abs=1e-6)


def covariance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Covariance in every window of SSIM."""

    def mean(image: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.gaussian_filter(image, 1.5, radius=5)[5:-5, 5:-5])

    return mean(x * y) - mean(x) * mean(y)


@pytest.mark.parametrize("noise", [0.01, 0.1])
def test_ms_ssim_is_that_of_pytorch_msssim(noise: float) -> None:
    sr, hr = pair(192, 240, 1, noise)  # sides that halve evenly: else it averages with zeros beyond the edge
    x, y = (torch.from_numpy(grey(image, 0))[None, None] for image in (sr, hr))
    assert ms_ssim(sr, hr, 0) == pytest.approx(float(reference_ms_ssim(x, y, data_range=255)), abs=1e-5)


@pytest.mark.parametrize(
    ("size", "border", "measured"), [(176, 0, True), (175, 0, False), (184, 4, True), (183, 4, False)]
)
def test_ms_ssim_needs_a_whole_window_at_five_scales(size: int, border: int, measured: bool) -> None:
    for shape in ((size, 190), (190, size)):
        assert math.isnan(ms_ssim(*pair(*shape, 0, 0.05), border)) is not measured


@noisy_pairs(10, 50)
def test_gmsd_is_that_of_the_authors_code(height: int, width: int, border: int, seed: int, noise: float) -> None:
    sr, hr = pair(height, width, seed, noise)
    across = np.array([[1, 0, -1]] * 3) / 3
    magnitudes = []
    for image in (sr, hr):
        half = convolve2d(grey(image, border), np.ones((2, 2)) / 4)[1::2, 1::2]  # MATLAB's 'same' begins one later
        magnitudes.append(np.hypot(*(convolve2d(half, kernel, mode="same") for kernel in (across, across.T))))
    x, y = magnitudes
    similarity = (2 * x * y + 170) / (x**2 + y**2 + 170)
    deviation = math.sqrt(((similarity - similarity.mean()) ** 2).mean())
    assert gmsd(sr, hr, border) == pytest.approx(deviation, abs=1e-9)


def test_perceptual_scores_are_those_of_piq() -> None:
    hr = torch.from_numpy(data.astronaut()[:320, :480].copy()).permute(2, 0, 1)[None].float() / 255
    sr = quantize(torch.nn.functional.avg_pool2d(hr, 5, 1, 2, count_include_pad=False))
    assert ms_ssim(sr, hr, 0) == pytest.approx(0.9756851481244703, abs=1e-9)  # piq 0.8.0, of grey levels
    assert gmsd(sr, hr, 0) == pytest.approx(0.07126300608842474, abs=1e-9)


def test_luma_is_bt601() -> None:
    corners = torch.tensor([[r, g, b] for r in (0, 1) for g in (0, 1) for b in (0, 1)]).float().T[None, :, :, None]
    y = luma(corners).flatten()
    assert y.dtype == torch.float64 and luma(corners).shape == (1, 1, 8, 1)
    assert y[0] == 16 and y[7] == pytest.approx(235)
    np.testing.assert_allclose(y, rgb2ycbcr(corners[0].permute(1, 2, 0).double().numpy())[..., 0].ravel(), atol=1e-9)


def test_known_errors_have_known_scores() -> None:
    hr = torch.full((1, 3, 20, 20), 100 / 255)
    assert psnr_y(hr, hr, 2) == math.inf and ssim_y(hr, hr, 2) == pytest.approx(1)
    assert gmsd(hr, hr, 2) == 0 and math.isnan(gmsd(hr, hr, 10))
    large = torch.rand(1, 3, 180, 180)
    assert ms_ssim(large, large, 2) == pytest.approx(1) and ms_ssim(large, 1 - large, 2) == 0
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
