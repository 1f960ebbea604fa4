"""The path of a local attribution map: an image that gets sharp, step by step (Gu and Dong, CVPR 2021)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.lam.attribution import STEPS, PathSettings
from promptsr.support.errors import ConfigError, UserError

_DELTA = 1e-5  # added to every sigma: the last one, 0, then has a kernel too, of a single 1
_NOTHING = 1e-12  # of a kernel: lost beside 1 in float32


class BlurPath:
    """x_i = k_i * x for Gaussian kernels k_0 (the blurriest) to k_steps (a single 1, so that x_steps = x).

    Borders are mirrored without repeating the pixel at the edge.

    Args:
        image: 1 x C x H x W.
        settings: number of steps, blur and kernel.

    Raises:
        ConfigError: an impossible setting.
        UserError: the image is smaller than half the kernel.
    """

    def __init__(self, image: Tensor, settings: PathSettings) -> None:
        steps, sigma, side = settings.steps, settings.sigma, settings.kernel
        if steps < 1:
            raise ConfigError(f"The path needs at least 1 step, not {steps}.")
        if side < 3 or side % 2 == 0:
            raise ConfigError(f"The kernel must be an odd number of pixels from 3 on, not {side}.")
        if not 0 < sigma <= side:
            raise ConfigError(f"The blur must be above 0 and at most {side} pixels, the kernel's side, not {sigma}.")
        if settings.rule not in STEPS:
            raise ConfigError(f"There is no rule {settings.rule}: choose one of {', '.join(STEPS)}.")
        if min(image.shape[2:]) <= side // 2:
            raise UserError(
                f"The image of {image.shape[3]} x {image.shape[2]} pixels is too small to be blurred with a kernel of "
                f"{side}: use one of {side // 2 + 1} or more pixels a side."
            )
        self._image = image
        sigmas = torch.linspace(sigma, 0, steps + 1, dtype=torch.float64)
        self._kernels = torch.stack([_gaussian(float(value) + _DELTA, side) for value in sigmas])
        """steps + 1 x side x side, float64."""
        moves = self._kernels.diff(dim=0)
        still = torch.zeros_like(moves[:1])
        arriving, leaving = torch.cat([still, moves]), torch.cat([moves, still])
        self._weights = arriving if settings.rule == "right" else (arriving + leaving) / 2

    def points(self, indices: Sequence[int]) -> Tensor:
        """x_i for these i, from 0 to `steps`: B x C x H x W."""
        return self._filtered(self._kernels[list(indices)])

    def weights(self, indices: Sequence[int]) -> Tensor:
        """Return the weights of the gradients at these x_i: B x C x H x W.

        By the rule "right" that is x_i - x_{i-1}, by the others half of x_{i+1} - x_{i-1}; what is no part of the path
        counts as standing still.
        """
        return self._filtered(self._weights[list(indices)])

    def needed(self) -> list[int]:
        """Return the points with any weight. Below a blur of about 0.15 pixels the image no longer changes."""
        largest = self._weights.abs().amax((1, 2))
        return torch.nonzero(largest > _NOTHING).flatten().tolist()

    def _filtered(self, kernels: Tensor) -> Tensor:
        """1 x C x H x W and n x side x side -> n x C x H x W."""
        reach = kernels.shape[-1] // 2
        image = F.pad(self._image, [reach] * 4, mode="reflect").transpose(0, 1)  # 1 x C x ... -> C x 1 x ...
        filtered = F.conv2d(image, kernels[:, None].to(image))  # n x side x side -> n x 1 x side x side
        return filtered.transpose(0, 1)  # C x n x H x W -> n x C x H x W


def _gaussian(sigma: float, side: int) -> Tensor:
    """Isotropic and normalised, side x side."""
    offsets = torch.arange(side, dtype=torch.float64) - side // 2
    line = torch.exp(-offsets.square() / (2 * sigma**2))
    square = line[:, None] * line
    return square / square.sum()
