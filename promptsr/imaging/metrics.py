"""PSNR and SSIM as super-resolution papers report them: on Y, 8 bit, with a border cropped."""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 11
"""Side of the window of SSIM, and of the smallest image that has a score, without its border."""


def quantize(image: Tensor) -> Tensor:
    """Clamp to [0, 1] and round to the 256 levels of an 8-bit file."""
    return (image.clamp(0, 1) * 255).round() / 255


def luma(image: Tensor) -> Tensor:
    """Y of YCbCr (ITU-R BT.601): B x 3 x H x W in [0, 1] -> B x 1 x H x W in [16, 235], float64."""
    r, g, b = image.double().unbind(1)
    return (16 + 65.481 * r + 128.553 * g + 24.966 * b)[:, None]


def psnr_y(sr: Tensor, hr: Tensor, border: int) -> float:
    """Peak signal-to-noise ratio on Y in dB; infinite for equal images.

    Args:
        sr: 1 x 3 x H x W in [0, 1], already quantized.
        hr: the same shape.
        border: pixels left out on every side, the scale by convention.
    """
    error = _inner(luma(sr), border) - _inner(luma(hr), border)
    mse = error.square().mean()
    return float(10 * torch.log10(255**2 / mse))


def ssim_y(sr: Tensor, hr: Tensor, border: int) -> float:
    """Structural similarity on Y (Wang et al. 2004): 11 x 11 Gaussian of sigma 1.5, valid region, L = 255.

    NaN for an image that is smaller than the window without its border. Arguments as in `psnr_y`.
    """
    x, y = _inner(luma(sr), border), _inner(luma(hr), border)
    if min(x.shape[2:]) < SSIM_WINDOW:
        return float("nan")
    offsets = torch.arange(SSIM_WINDOW, dtype=torch.float64, device=x.device) - SSIM_WINDOW // 2
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = (line / line.sum())[None, None, None]  # 1 x 1 x 1 x 11
    mean_x, mean_y, xx, yy, xy = (F.conv2d(F.conv2d(z, line), line.mT) for z in (x, y, x * x, y * y, x * y))
    var_x, var_y, cov = xx - mean_x.square(), yy - mean_y.square(), xy - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ssim = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    ssim = ssim / ((mean_x.square() + mean_y.square() + c1) * (var_x + var_y + c2))
    return float(ssim.mean())


def _inner(image: Tensor, border: int) -> Tensor:
    return image[:, :, border : image.shape[2] - border, border : image.shape[3] - border]
