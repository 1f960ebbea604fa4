"""PSNR and SSIM as super-resolution papers report them: on Y, 8 bit, with a border cropped; MS-SSIM, GMSD on grey."""

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 11
"""Side of the window of SSIM, and of the smallest image that has a score, without its border."""
_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales of MS-SSIM, the finest first (Wang et al. 2003, section 3.2)."""
MS_SSIM_SIDE = SSIM_WINDOW * 2 ** (len(_WEIGHTS) - 1)
"""Side of the smallest image that has an MS-SSIM, without its border: it holds a window at the coarsest scale."""
_GMSD_CONSTANT = 170.0
"""c of GMSD in squared grey levels (Xue et al. 2014, section II)."""


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
    return float(_ssim(x, y)[0])


def ms_ssim(sr: Tensor, hr: Tensor, border: int) -> float:
    """Multi-scale structural similarity on grey (Wang et al. 2003): five scales, windows as in `ssim_y`, best at 1.

    NaN for an image that is smaller than `MS_SSIM_SIDE` without its border: fewer scales would be another measure.
    Arguments as in `psnr_y`.
    """
    x, y = _inner(_grey(sr), border), _inner(_grey(hr), border)
    if min(x.shape[2:]) < MS_SSIM_SIDE:
        return float("nan")
    score = 1.0
    for weight in _WEIGHTS[:-1]:
        score *= float(_ssim(x, y)[1].clamp_min(0)) ** weight  # a negative mean has no power
        odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        x, y = (F.avg_pool2d(F.pad(image, odd, mode="replicate"), 2) for image in (x, y))
    return score * float(_ssim(x, y)[0].clamp_min(0)) ** _WEIGHTS[-1]


def gmsd(sr: Tensor, hr: Tensor, border: int) -> float:
    """Gradient magnitude similarity deviation on grey (Xue et al. 2014), best at 0.

    NaN for an image without pixels inside its border. As in the authors' code, images are halved first and continue as
    zeros. Arguments as in `psnr_y`.
    """
    x, y = _inner(_grey(sr), border), _inner(_grey(hr), border)
    if 0 in x.shape:
        return float("nan")
    down = torch.tensor([[1.0], [0.0], [-1.0]], dtype=x.dtype, device=x.device).expand(3, 3) / 3  # Prewitt
    prewitt = torch.stack([down, down.T])[:, None]  # 2 x 1 x 3 x 3
    odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
    halves = (F.avg_pool2d(F.pad(image, odd), 2) for image in (x, y))
    mx, my = (torch.linalg.vector_norm(F.conv2d(half, prewitt, padding=1), dim=1) for half in halves)
    similarity = (2 * mx * my + _GMSD_CONSTANT) / (mx.square() + my.square() + _GMSD_CONSTANT)
    return float(similarity.std(correction=0))


def _ssim(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean over all windows of SSIM, and of its contrast and structure terms alone, for B x 1 x H x W."""
    offsets = torch.arange(SSIM_WINDOW, dtype=torch.float64, device=x.device) - SSIM_WINDOW // 2
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = (line / line.sum())[None, None, None]  # 1 x 1 x 1 x 11
    mean_x, mean_y, xx, yy, xy = (F.conv2d(F.conv2d(z, line), line.mT) for z in (x, y, x * x, y * y, x * y))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    shared = 2 * (xy - mean_x * mean_y) + c2
    total = (xx - mean_x.square()) + (yy - mean_y.square()) + c2
    ssim = (2 * mean_x * mean_y + c1) * shared
    ssim = ssim / ((mean_x.square() + mean_y.square() + c1) * total)
    return ssim.mean(), (shared / total).mean()


def _grey(image: Tensor) -> Tensor:
    """Y over the whole range of 8 bits: B x 3 x H x W in [0, 1] -> B x 1 x H x W in [0, 255], float64."""
    return (luma(image) - 16) * (255 / 219)


def _inner(image: Tensor, border: int) -> Tensor:
    return image[:, :, border : image.shape[2] - border, border : image.shape[3] - border]
