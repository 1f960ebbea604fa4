"""The Jacobian of the attention branch: against finite differences and torch's own, and the correlation by hand."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from analysis.attention.jacobian import AttentionBranch, attend_to_anchors, attention_branch, rank_correlation
from analysis.attention.weight_maps import WeightMap
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from tests.analysis.attention.conftest import WINDOWS_ONLY, given_to, hooks, noise, uneven

HEIGHT, WIDTH, CHANNELS = 10, 13, 6  # padded to 12 x 16
PIXEL = (11, 7)
LAYER = "groups.0.blocks.1.global_prompting"


@pytest.fixture(scope="module")
def network() -> PromptSR:
    return uneven(0.4, channels=CHANNELS, groups=1, window_size=4, prompt_update=0.4).double().requires_grad_()


@pytest.fixture(scope="module")
def image() -> Tensor:
    return noise(HEIGHT, WIDTH).double()


@pytest.fixture(scope="module")
def branch(network: PromptSR, image: Tensor) -> AttentionBranch:
    return attention_branch(network, image, group=0, block=1)


def test_branch_is_what_the_layer_adds_to_its_input(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    """Eq. 11, taken from the layer norm that follows."""
    with torch.no_grad(), given_to(network, f"{LAYER}.norm") as seen:
        network(image)
    expected = (seen[0] - branch.layer_input).flatten(0, 2)  # 1 x H x W x C -> HW x C
    torch.testing.assert_close(branch.output, expected)
    assert branch.layer_input.shape == (1, 12, 16, CHANNELS)


def test_norm_is_that_of_the_jacobian(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    layer: Any = network.get_submodule(LAYER)
    with record(network, ["groups.0.blocks.0.global_prompting.anchor_prompts"]) as seen, torch.no_grad():
        network(image)
    [previous] = seen.values()
    token = PIXEL[1] * 16 + PIXEL[0]

    def output(layer_input: Tensor) -> Tensor:
        return attend_to_anchors(layer, layer_input, previous)[token]

    start, step = branch.layer_input.detach(), 1e-5
    blocks = jacobian(output, start).flatten(1, 3)  # C x 1 x H x W x C -> C x HW x C
    rng = np.random.default_rng(0)
    for source in {token, token + 1, 191, *rng.integers(0, 192, 20).tolist()}:
        for channel in range(CHANNELS):
            move = torch.zeros_like(start)
            move.view(-1, CHANNELS)[source, channel] = step
            slopes = (output(start + move) - output(start - move)) / (2 * step)
            torch.testing.assert_close(blocks[:, source, channel], slopes.detach(), rtol=1e-5, atol=1e-9)
    expected = np.array([np.linalg.norm(block) for block in blocks.unbind(1)]).reshape(12, 16)
    norm = branch.norm(*PIXEL)
    np.testing.assert_allclose(norm.values, expected[:HEIGHT, :WIDTH], rtol=1e-6)
    kept = expected[:HEIGHT, :WIDTH].sum()
    assert norm.padding_share == pytest.approx(1 - kept / expected.sum(), rel=1e-5) and norm.padding_share > 0.01


def test_previous_prompts_are_held_constant(network: PromptSR, branch: AttentionBranch) -> None:
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
    assert all(parameter.grad is None for parameter in network.parameters())
    torch.testing.assert_close(network(image), before, rtol=0, atol=0)
    layer: Any = network.get_submodule(LAYER)
    monkeypatch.setattr(layer.norm, "normalized_shape", (CHANNELS + 1,))  # fails behind the projection
    for attempt in (
        lambda: attention_branch(network, image, group=0, block=1),
        lambda: attend_to_anchors(layer, torch.zeros(1, 12, 16, CHANNELS, dtype=torch.float64), None),
    ):
        with pytest.raises(RuntimeError, match="normalized_shape"):
            attempt()
        assert hooks(network) == []


def test_refusals(network: PromptSR, image: Tensor, branch: AttentionBranch) -> None:
    with pytest.raises(UserError, match="no block 3 in group 1"):
        attention_branch(network, image, group=0, block=2)
    with pytest.raises(UserError, match="outside"):
        branch.norm(WIDTH, 0)
    with pytest.raises(UserError, match="without anchor prompting"):
        attention_branch(uneven(**WINDOWS_ONLY), image.float(), group=0, block=0)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([1, 2, 3, 10], [0.1, 0.2, 0.3, 0.4], 1),
        ([1, 2, 3, 4], [2, 1, 3, 4], 1 - 6 * 2 / (4 * 15)),  # differences of ranks 1, 1, 0, 0
        ([1, 1, 1, 1], [2, 1, 3, 4], np.nan),
    ],
)
def test_rank_correlation_by_hand(one: list[float], other: list[float], expected: float) -> None:
    maps = [WeightMap(np.reshape(values, (2, 2))) for values in (one, other)]
    assert rank_correlation(*maps) == pytest.approx(expected, nan_ok=True)
