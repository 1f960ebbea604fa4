"""Impulse response of a model: what a single brighter input pixel on a grey ground becomes.

response = impulse_response(load_model("bicubic-x4"))
response.line, response.places  # the interpolation kernel, and where each of its values lies, in input pixels
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel

SIDE = 64
"""Side of the grey image, input pixels."""
GROUND, HEIGHT = 0.5, 0.25
"""Grey of the ground, and by how much the middle pixel is brighter, of 1."""


@dataclass(frozen=True, eq=False)
class ImpulseResponse:
    """Response to an impulse in all three colours, over the impulse's height.

    For a linear model that treats every place alike it says everything; for a network it holds for this ground, this
    height and the middle of this image alone, and `nonlinear` tells how far it may be trusted.
    """

    model: str
    scale: int
    values: np.ndarray
    """sS x sS float64: change of the output over the height, mean of the colours, with the impulse at pixel S/2."""
    nonlinear: float
    """Norm of the difference to the response of a darker pixel, over the norm of the response: 0 for a linear model."""

    @property
    def places(self) -> np.ndarray:
        """Return the distance of each output column from the middle of the impulse's pixel, input pixels: sS."""
        side = len(self.values)
        return (np.arange(side) + 0.5) / self.scale - 0.5 - side // self.scale // 2

    @cached_property
    def line(self) -> np.ndarray:
        """Return the sum of the response over the rows, over s: sS. For separable interpolation, its kernel."""
        line: np.ndarray = self.values.sum(0) / self.scale
        return line

    @property
    def gain(self) -> float:
        """Return the sum of the response over s^2: 1 if the mean grey is kept."""
        return float(self.values.sum() / self.scale**2)

    @property
    def undershoot(self) -> float:
        """Return the lowest value over the highest: negative beside a bright pixel for all that sharpens."""
        return float(self.values.min() / self.values.max())

    @property
    def beyond(self) -> float:
        """Return the share of the response's energy at frequencies above the input's Nyquist frequency, in [0, 1]."""
        frequencies = np.abs(np.fft.fftfreq(len(self.values), 1 / self.scale))  # cycles per input pixel
        energy = np.abs(np.fft.fft2(self.values)) ** 2
        return float(energy[np.maximum.outer(frequencies, frequencies) > 0.5].sum() / energy.sum())

    def numbers(self) -> dict[str, Any]:
        """Return plain values for JSON, without the response itself."""
        names = ("model", "gain", "undershoot", "beyond", "nonlinear")
        return {name: getattr(self, name) for name in names}


@torch.inference_mode()
def impulse_response(model: SRModel, side: int = SIDE) -> ImpulseResponse:
    """Measure the impulse response in the middle of an even image.

    Args:
        model: any.
        side: S, of the image, input pixels.

    Raises:
        UserError: the model's output does not depend on the middle pixel.
    """
    plain = torch.full((1, 3, side, side), GROUND, device=model.device)
    ground = model(plain)
    brighter, darker = (_change(model, plain, ground, height) for height in (HEIGHT, -HEIGHT))
    norm = np.linalg.norm(brighter)
    if not 0 < norm < np.inf:
        raise UserError(f"{model.name} gives no response to a brighter pixel: choose another model.")
    return ImpulseResponse(model.name, model.scale, brighter, float(np.linalg.norm(brighter - darker) / norm))


def _change(model: SRModel, plain: Tensor, ground: Tensor, height: float) -> np.ndarray:
    """Return the change of the output over the height, sS x sS."""
    image, middle = plain.clone(), plain.shape[2] // 2
    image[:, :, middle, middle] += height
    change: np.ndarray = ((model(image).double() - ground.double()) / height).mean(1)[0].cpu().numpy()
    return change
