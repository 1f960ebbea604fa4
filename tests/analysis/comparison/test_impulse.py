"""Impulse responses against interpolation kernels in closed form, and a planted bend."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.comparison.impulse import impulse_response
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

SIDE = 16


def cubic(place: np.ndarray) -> np.ndarray:
    """The kernel of Keys (1981) with a = -0.5."""
    t = np.abs(place)
    return np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_has_the_cubic_kernel(scale: int) -> None:
    response = impulse_response(load_model(f"bicubic-x{scale}"), SIDE)
    line = cubic(response.places)
    np.testing.assert_allclose(response.values, np.outer(line, line), atol=1e-6)
    np.testing.assert_allclose(response.line, line, atol=2e-6)
    assert response.gain == pytest.approx(1, abs=1e-6) and response.nonlinear < 1e-5
    products = np.outer(line, line)
    assert response.undershoot == pytest.approx(products.min() / products.max(), abs=1e-5)
    assert response.places[scale * SIDE // 2] == pytest.approx(0.5 / scale - 0.5)


class Repeated(nn.Module):
    """Every pixel s x s times, to a power."""

    def __init__(self, scale: int, power: int) -> None:
        super().__init__()
        self.scale, self.power = scale, power

    def forward(self, image: Tensor) -> Tensor:
        return image.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3) ** self.power


def test_a_box_and_what_it_has_beyond_the_limit() -> None:
    response = impulse_response(SRModel("box", 4, Repeated(4, 1)), 32)
    expected = np.zeros((128, 128))
    expected[64:68, 64:68] = 1
    np.testing.assert_array_equal(response.values, expected)
    frequencies = np.fft.fftfreq(128, 0.25)  # cycles per input pixel
    with np.errstate(invalid="ignore"):
        dirichlet = (np.sin(np.pi * frequencies) / np.sin(np.pi * frequencies / 4)) ** 2
    dirichlet[0] = 16
    below = dirichlet[np.abs(frequencies) <= 0.5].sum() / dirichlet.sum()
    assert response.beyond == pytest.approx(1 - below**2)
    assert (response.gain, response.undershoot, response.nonlinear) == (1, 0, 0)


def test_a_bend_is_no_kernel() -> None:
    """x^2 has a change of (2 g h + h^2) / h: 1.25 brighter and 0.75 darker, for g = 0.5 and h = 0.25."""
    response = impulse_response(SRModel("square", 2, Repeated(2, 2)), SIDE)
    assert response.values.max() == 1.25 and response.nonlinear == pytest.approx(0.5 / 1.25)
    assert response.numbers()["gain"] == 1.25


class Constant(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.zeros(1, 3, 2 * image.shape[2], 2 * image.shape[3])


def test_no_response_is_refused() -> None:
    with pytest.raises(UserError, match="black gives no response"):
        impulse_response(SRModel("black", 2, Constant()), SIDE)
