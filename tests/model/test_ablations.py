"""The flow through a block, and the layers that each switch of the ablations removes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from promptsr.config import PRESETS
from promptsr.model.category_attention import CategorySelfAttention
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.local_prompting import LocalPromptingLayer
from promptsr.model.network import PromptSR
from promptsr.model.taps import record, tap_names
from promptsr.model.window_attention import WindowSelfAttention

Lively = Callable[..., PromptSR]
IMAGE = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))


def test_block_goes_from_coarse_to_fine(lively: Lively) -> None:
    network = lively(groups=1)
    order = []
    for name, module in network.named_modules():
        if isinstance(module, GlobalAnchorPromptingLayer | LocalPromptingLayer):
            module.register_forward_hook(lambda _module, _args, _out, name=name: order.append(name))
    network(IMAGE)
    layers = ("global_prompting", "coarse_prompting", "fine_prompting")
    assert order == [f"groups.0.blocks.{block}.{layer}" for block in range(2) for layer in layers]


def categories_used(network: PromptSR) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The categories that reach each category attention of the first block, and those that its taps saw."""
    used: dict[str, Tensor] = {}
    for name in ("coarse_prompting", "fine_prompting"):
        attention = network.get_submodule(f"groups.0.blocks.0.{name}").category_attention
        if isinstance(attention, CategorySelfAttention):
            attention.register_forward_pre_hook(lambda _module, args, name=name: used.update({name: args[1]}))
    with record(network, ["groups.0.blocks.0.*_category"]) as seen:
        network(IMAGE)
    return used, {name.rsplit(".", 1)[1]: value for name, value in seen.items()}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"coarse_prompting": "coarse_category", "fine_prompting": "fine_category"}),
        ({"fine_prompting": "coarse"}, {"coarse_prompting": "coarse_category", "fine_prompting": "coarse_category"}),
        ({"fine_prompting": "off"}, {"coarse_prompting": "coarse_category"}),
        ({"coarse_prompting": False}, {"fine_prompting": "fine_category"}),
        ({"coarse_prompting": False, "fine_prompting": "off"}, {}),
    ],
)
def test_layers_group_tokens_by_the_categories_they_should(
    lively: Lively, settings: dict[str, Any], expected: dict[str, str]
) -> None:
    used, seen = categories_used(lively(**settings))
    assert not torch.equal(seen["coarse_category"], seen["fine_category"])
    assert used.keys() == expected.keys()
    for layer, tap in expected.items():
        assert torch.equal(used[layer], seen[tap])


@pytest.mark.parametrize(
    ("name", "prompting", "windows", "categories"),
    [
        ("ablation-windows-only", 0, 3, 0),
        ("ablation-anchor", 1, 2, 0),
        ("ablation-anchor-coarse", 1, 2, 2),
        ("ablation-base", 1, 2, 2),
    ],
)
def test_ablations_take_the_layers_out(name: str, prompting: int, windows: int, categories: int) -> None:
    with torch.device("meta"):
        network = PromptSR(PRESETS[name])
    blocks = network.config.groups * network.config.blocks_per_group
    for kind, count in (
        (GlobalAnchorPromptingLayer, prompting),
        (WindowSelfAttention, windows),
        (CategorySelfAttention, categories),
    ):
        assert sum(isinstance(module, kind) for module in network.modules()) == count * blocks
    assert len(tap_names(network)) == (6 * prompting + windows + categories) * blocks
    shifts = [module.shift for module in network.modules() if isinstance(module, WindowSelfAttention)]
    assert shifts == ([0] * (windows - 1) + [8]) * blocks  # the fine layer alone is shifted
