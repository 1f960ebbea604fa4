"""The Jacobian of the attention branch: against finite differences, and against what it is compared with."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor

from analysis.attention.jacobian import (
    AttentionBranch,
    attend_to_anchors,
    attention_branch,
    rank_correlation,
    rank_correlations,
)
from analysis.attention.maps import look
from analysis.attention.weight_maps import WeightMap
from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError

HEIGHT, WIDTH, CHANNELS = 10, 13, 6  # padded to 12 x 16
PIXEL = (11, 7)
LAYER = "groups.0.blocks.1.global_prompting"


@pytest.fixture(scope="module")
def network() -> PromptSR:
    config = ModelConfig(
        scale=2,
        channels=CHANNELS,
        groups=1,
        blocks_per_group=2,
        anchor_stride=4,
        window_size=4,
        category_size=16,
        heads=2,
        prompt_update=0.4,
    )
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = PromptSR(config).eval().double()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    return network


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


@pytest.fixture(scope="module")
def branch(network: PromptSR, image: Tensor) -> AttentionBranch:
    return attention_branch(network, image, group=0, block=1)


def hooks(network: PromptSR) -> Iterator[Any]:
    for module in network.modules():
        yield from [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def test_branch_is_what_the_layer_adds_to_its_input(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    """Eq. 11, taken from the layer norm that follows."""
    seen: list[Tensor] = []
    layer: Any = network.get_submodule(LAYER)
    handle = layer.norm.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
    with torch.no_grad():
        network(image)
    handle.remove()
    expected = (seen[0] - branch.layer_input).flatten(0, 2)  # 1 x H x W x C -> HW x C
    torch.testing.assert_close(branch.output, expected)
    assert branch.layer_input.shape == (1, 12, 16, CHANNELS)


def test_jacobian_is_that_of_finite_differences(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    layer: Any = network.get_submodule(LAYER)
    with record(network, ["groups.0.blocks.0.global_prompting.anchor_prompts"]) as seen, torch.no_grad():
        network(image)
    [previous] = seen.values()
    token = PIXEL[1] * 16 + PIXEL[0]
    found = branch.jacobian(*PIXEL)
    assert found.shape == (CHANNELS, 12 * 16, CHANNELS)
    step = 1e-5
    rng = np.random.default_rng(0)
    sources = {token, token + 1, 191, *rng.integers(0, 192, 20).tolist()}
    for source in sources:
        for channel in range(CHANNELS):
            ends = []
            for sign in (1, -1):
                moved = branch.layer_input.detach().clone()
                moved.view(-1, CHANNELS)[source, channel] += sign * step
                ends.append(attend_to_anchors(layer, moved, previous)[token].detach())
            torch.testing.assert_close(
                found[:, source, channel], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-9
            )


def test_norm_is_that_of_the_blocks(branch: AttentionBranch) -> None:
    blocks = branch.jacobian(*PIXEL).numpy()
    expected = np.array([np.linalg.norm(blocks[:, source]) for source in range(192)]).reshape(12, 16)
    norm = branch.norm(*PIXEL)
    np.testing.assert_allclose(norm.values, expected[:HEIGHT, :WIDTH], rtol=1e-6)
    kept = expected[:HEIGHT, :WIDTH].sum()
    assert norm.padding_share == pytest.approx(1 - kept / expected.sum(), rel=1e-5) and norm.padding_share > 0.01


def test_previous_prompts_are_held_constant(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    """They are no part of the graph: the output depends on what enters this layer, not on the block before."""
    assert branch.layer_input.is_leaf and branch.output.requires_grad
    parameters = dict(network.named_parameters())
    before = [value for name, value in parameters.items() if name.startswith("groups.0.blocks.0.")]
    found = torch.autograd.grad(branch.output.sum(), before, retain_graph=True, allow_unused=True)
    assert found and all(gradient is None for gradient in found)
    [own] = torch.autograd.grad(branch.output.sum(), [parameters[f"{LAYER}.value.weight"]], retain_graph=True)
    assert own.abs().max() > 0


def test_network_stays_as_it_was(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    before = network(image)
    attention_branch(network, image, group=0, block=1).norm(*PIXEL)
    assert list(hooks(network)) == [] and all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(network(image), before, rtol=0, atol=0)
    layer: Any = network.get_submodule(LAYER)
    monkeypatch.setattr(layer.norm, "normalized_shape", (CHANNELS + 1,))  # fails behind the projection
    for attempt in (
        lambda: attention_branch(network, image, group=0, block=1),
        lambda: attend_to_anchors(layer, torch.zeros(1, 12, 16, CHANNELS, dtype=torch.float64), None),
    ):
        with pytest.raises(RuntimeError, match="normalized_shape"):
            attempt()
        assert list(hooks(network)) == []


def test_refusals(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    with pytest.raises(UserError, match="no block 3 in group 1"):
        attention_branch(network, image, group=0, block=2)
    with pytest.raises(UserError, match="outside"):
        branch.norm(WIDTH, 0)
    plain = PromptSR(ModelConfig(groups=1, anchor_prompting=False, coarse_prompting=False, fine_prompting="off"))
    with pytest.raises(UserError, match="without anchor prompting"):
        attention_branch(plain, image.float(), group=0, block=0)


def test_rank_correlation_by_hand(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    def weights(values: list[list[float]]) -> WeightMap:
        return WeightMap(np.array(values), np.zeros(()))

    assert rank_correlation(weights([[1, 2], [3, 10]]), weights([[0.1, 0.2], [0.3, 0.4]])) == pytest.approx(1)
    # differences of ranks 1, 1, 0, 0: 1 - 6 * 2 / (4 * 15)
    assert rank_correlation(weights([[1, 2], [3, 4]]), weights([[2, 1], [3, 4]])) == pytest.approx(0.8)
    assert np.isnan(rank_correlation(weights([[1, 1], [1, 1]]), weights([[2, 1], [3, 4]])))
    maps = look(network.double(), image, group=0, block=1)
    pixels = [PIXEL, (0, 0)]
    expected = [
        np.corrcoef(rankdata(maps.composed(*p).values.ravel()), rankdata(branch.norm(*p).values.ravel()))[0, 1]
        for p in pixels
    ]
    np.testing.assert_allclose(rank_correlations(maps, branch, pixels), expected)
