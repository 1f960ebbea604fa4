"""A network by hand, in which one anchor is forced to carry a distant patch to a pixel: map and Jacobian find it.

Red marks the pixel's square, green the distant patch. The anchor of a red square looks for green tokens, a red token
looks for the anchor of a red square; the values are the features themselves.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.attention.jacobian import attention_branch
from analysis.attention.maps import look
from analysis.attention.weight_maps import WeightMap
from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR

PIXEL = (6, 5)
PATCH = (slice(27, 29), slice(30, 33))  # rows and columns
HEIGHT, WIDTH = 31, 38


@pytest.fixture(scope="module")
def network() -> PromptSR:
    config = ModelConfig(
        scale=2, channels=4, groups=1, blocks_per_group=1, anchor_stride=4, window_size=8, category_size=16, heads=1
    )
    network = PromptSR(config).eval()
    layer: Any = network.get_submodule("groups.0.blocks.0.global_prompting")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        for channel in range(3):  # features are the image's red, green and blue, and nothing
            network.encoder.weight[channel, channel, 1, 1] = 1
        layer.key.weight[0, 1] = 100  # green
        layer.query.weight[1, 0] = 100  # red
        layer.anchor.weight[0, 0] = layer.anchor.weight[1, 0] = 1  # red
        layer.downscale.weight[:, :, 2, 2] = 1
        layer.prompt_value.weight[:, :, 1, 1] = 1
        for linear in (layer.value, layer.projection):
            linear.weight.copy_(torch.eye(4))
    return network


@pytest.fixture(scope="module")
def image() -> Tensor:
    image = torch.zeros(1, 3, HEIGHT, WIDTH)
    image[0, 2] = torch.rand(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    image[0, 0, 4:8, 4:8] = 1
    image[0, 1, PATCH[0], PATCH[1]] = 1
    image[0, 2, PATCH[0], PATCH[1]] = 0.5
    return image


def share_in_patch(weights: WeightMap) -> float:
    return float(weights.values[PATCH].sum() / weights.values.sum())


def test_map_and_jacobian_peak_at_the_distant_patch(network: PromptSR, image: Tensor) -> None:
    maps = look(network, image, group=0, block=0)
    norm = attention_branch(network, image, group=0, block=0).norm(*PIXEL)
    [anchor] = maps.top_anchors(*PIXEL, 1)
    assert (anchor.x, anchor.y) == (4, 4) and anchor.weight > 0.99
    assert share_in_patch(maps.reading(anchor.index)) > 0.99
    for weights in (maps.composed(*PIXEL), norm):
        assert share_in_patch(weights) > 0.9
        highest = np.sort(weights.values, axis=None)[-6:]
        np.testing.assert_array_equal(np.sort(weights.values[PATCH], axis=None), highest)
    # through the six tokens of the patch an identity each, times its weight: a Frobenius norm of sqrt(4) / 6
    np.testing.assert_allclose(norm.values[PATCH], 2 / 6, rtol=0.02)


def test_without_the_marks_neither_does(network: PromptSR, image: Tensor) -> None:
    plain = image.clone()
    plain[:, :2] = 0
    maps = look(network, plain, group=0, block=0)
    norm = attention_branch(network, plain, group=0, block=0).norm(*PIXEL)
    for weights in (maps.composed(*PIXEL), norm):
        assert share_in_patch(weights) < 0.05
