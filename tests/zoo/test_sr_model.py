"""What a model says of itself, and what the upscaler makes of it."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from promptsr.imaging import Picture
from promptsr.inference.upscaler import Upscaler
from promptsr.support.errors import ConfigError
from promptsr.zoo.sr_model import SRModel


class Doubling(nn.Module):
    """Nearest-neighbour interpolation through a convolution, which autocast turns to half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 12, 1, bias=False).requires_grad_(False)
        self.convolution.weight.copy_(torch.eye(3).repeat_interleave(4, 0)[..., None, None])
        self.types: set[torch.dtype] = set()

    def forward(self, image: Tensor) -> Tensor:
        features = self.convolution(image)
        self.types.add(features.dtype)
        return nn.functional.pixel_shuffle(features, 2)


def model(**fields: Any) -> SRModel:
    return SRModel("toy", 2, Doubling(), min_tile=8, bytes_per_pixel=1024, **fields)


@pytest.mark.parametrize(
    ("tiling", "side", "tile"),
    [
        ("supported", 32, None),
        ("supported", 33, 32),
        ("discouraged", 90, None),  # 90 * 90 pixels are within eight times 32 * 32, and 91 * 91 are not
        ("discouraged", 91, 88),
        ("internal", 500, None),
    ],
)
def test_auto_heeds_the_tiling_advice(tiling: Any, side: int, tile: int | None) -> None:
    upscaler = Upscaler(model(tiling=tiling), memory_budget=32 * 32 * 1024)
    assert upscaler.tile_for(side, side) == tile
    assert Upscaler(model(tiling=tiling), tile=16).tile_for(side, side) == 16


def test_half_precision_is_used_where_it_is_safe() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    for half, dtype in ((False, torch.float32), (True, torch.float16)):
        safe = model(half_precision=True)
        result = Upscaler(safe, half=half)(Picture(pixels, None, False)).picture
        assert safe.network.types == {dtype}
        assert np.array_equal(result.color, pixels.repeat(2, 0).repeat(2, 1))


def test_half_precision_is_refused_where_it_is_not_known_to_be_safe() -> None:
    with pytest.raises(ConfigError, match="toy is not known to be safe in half precision: use full precision"):
        Upscaler(model(), half=True)


def test_a_model_names_its_architecture_and_counts_its_parameters() -> None:
    assert (model().architecture, model().parameters) == ("Doubling", 36)


def test_tensors_are_parameters_or_buffers() -> None:
    """What has any goes to another device with its input; an ONNX session has none, and cannot be copied."""
    buffered = nn.Module()
    buffered.register_buffer("kernel", torch.ones(3))
    for network, found in ((nn.Identity(), False), (nn.Conv2d(3, 3, 1), True), (buffered, True)):
        assert SRModel("toy", 2, network).has_tensors is found
