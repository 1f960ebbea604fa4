"""Self-ensemble: its definition, its symmetry, its attributes, and tiles."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from promptsr.inference.self_ensemble import self_ensemble
from promptsr.inference.upscaler import Upscaler
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel
from tests.inference.conftest import noise


class Lopsided(nn.Module):
    """Doubles the sides; reaches two pixels, differently in every direction."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 12, 5, padding=2).double().requires_grad_(False)
        weight = torch.randn(12, 3, 5, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.convolution.weight.copy_(weight / 10)

    def forward(self, image: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(self.convolution(image.double()).sin(), 2)


MODEL = SRModel("lopsided", 2, Lopsided(), min_tile=3, bytes_per_pixel=100, fixed_bytes=7, size_multiple=4)
PLUS = self_ensemble(MODEL)


def test_it_is_the_mean_of_eight_positions() -> None:
    image = noise(6, 9)
    results = []
    for k in range(4):
        for mirrored in (False, True):
            x = image.numpy()
            x = np.flip(x, 2) if mirrored else x  # upside down: any mirror image will do
            y = MODEL(torch.from_numpy(np.rot90(x, k, (2, 3)).copy())).numpy()
            y = np.rot90(y, -k, (2, 3))
            results.append(np.flip(y, 2) if mirrored else y)
    np.testing.assert_allclose(PLUS(image).numpy(), np.mean(results, axis=0), rtol=0, atol=1e-12)
    assert not torch.allclose(PLUS(image), MODEL(image), atol=1e-2)


@given(st.integers(3, 9), st.integers(3, 9), st.integers(0, 3), st.booleans(), st.integers(0, 99))
def test_a_turned_image_gives_the_turned_result(height: int, width: int, turns: int, mirrored: bool, seed: int) -> None:
    def turned(image: Tensor) -> Tensor:
        return (image.flip(2) if mirrored else image).rot90(turns, (2, 3))

    image = noise(height, width, seed=seed)
    torch.testing.assert_close(PLUS(turned(image)), turned(PLUS(image)), rtol=0, atol=1e-12)


def test_half_precision_is_summed_in_full() -> None:
    half = SRModel("half", 2, nn.Upsample(scale_factor=2).half())
    image = noise(4, 5).half()
    result = self_ensemble(half)(image)
    assert result.dtype == torch.float32 and torch.equal(result, half(image).float())


def test_attributes_are_those_of_the_model() -> None:
    assert (PLUS.name, PLUS.scale, PLUS.min_tile, PLUS.size_multiple) == ("lopsided+", 2, 3, 4)
    assert (PLUS.architecture, PLUS.parameters) == ("Lopsided+", MODEL.parameters)
    sum_of_results = 4 * 3 * 2 * 8 * 2 * 12  # bytes of 3 channels, of 8 x 12 pixels doubled
    assert PLUS.working_memory(7, 9) == MODEL.working_memory(7, 9) + sum_of_results


def test_tiles_are_averaged_one_by_one() -> None:
    images = noise(12, 10)
    whole = finish(Upscaler(PLUS, tile="whole").upscale_tensor(images))
    torch.testing.assert_close(whole, PLUS(images).float())
    tiled = finish(Upscaler(PLUS, tile=8, overlap=6).upscale_tensor(images))
    assert tiled.shape == whole.shape
    torch.testing.assert_close(tiled[..., :2, :2], whole[..., :2, :2])  # out of the reach of any seam
