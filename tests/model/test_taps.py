"""Taps leave no trace: no hook, no path switched, no value changed."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from promptsr.model.network import PromptSR
from promptsr.model.taps import MapTap, Tap, explicit_attention, record, tap_names
from promptsr.support.errors import ConfigError

Lively = Callable[..., PromptSR]
IMAGE = torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(0))

GAPL_TAPS = ("anchors", "coarse_map", "anchor_prompts", "fine_map", "coarse_category", "fine_category")
MAPS = ("coarse_map", "fine_map", "weights")


def hooks(network: nn.Module) -> int:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind)) for module in network.modules() for kind in kinds)


def explicit_maps(network: nn.Module) -> set[str]:
    return {name for name, module in network.named_modules() if isinstance(module, MapTap) and module.explicit}


def all_maps(network: nn.Module) -> set[str]:
    return {name for name in tap_names(network) if name.endswith(MAPS)}


def test_names_are_all_taps_and_no_other(lively: Lively) -> None:
    expected = [
        f"groups.{group}.blocks.{block}.{tap}"
        for group in range(2)
        for block in range(2)
        for tap in (
            *(f"global_prompting.{kind}" for kind in GAPL_TAPS),
            "coarse_prompting.window_attention.weights",
            "coarse_prompting.category_attention.weights",
            "fine_prompting.window_attention.weights",
            "fine_prompting.category_attention.weights",
        )
    ]
    assert tap_names(lively()) == expected
    assert tap_names(nn.Linear(2, 2)) == []


def test_values_have_the_shapes_they_promise(lively: Lively) -> None:
    network = lively(groups=1, blocks_per_group=1)
    tokens, anchors, windows, groups = 96, 24, 6, 6
    with record(network, ["*"]) as seen:
        network(IMAGE)
    shapes = {name.removeprefix("groups.0.blocks.0."): tuple(value.shape) for name, value in seen.items()}
    assert shapes == {
        "global_prompting.anchors": (1, anchors, 8),
        "global_prompting.anchor_prompts": (1, anchors, 8),
        "global_prompting.coarse_map": (1, anchors, tokens),
        "global_prompting.fine_map": (1, tokens, anchors),
        "global_prompting.coarse_category": (1, tokens),
        "global_prompting.fine_category": (1, tokens),
        "coarse_prompting.window_attention.weights": (1, windows, 2, 16, 16),
        "coarse_prompting.category_attention.weights": (1, groups, 2, 16, 16),
        "fine_prompting.window_attention.weights": (1, windows, 2, 16, 16),
        "fine_prompting.category_attention.weights": (1, groups, 2, 16, 16),
    }


@pytest.mark.parametrize(
    "pattern", [*(f"*.{kind}" for kind in (*GAPL_TAPS, "weights")), "groups.1.blocks.0.global_prompting.fine_map"]
)
def test_patterns_choose_taps_and_only_maps_become_explicit(lively: Lively, pattern: str) -> None:
    network = lively()
    expected = {name for name in tap_names(network) if name.endswith(pattern.removeprefix("*"))}
    with record(network, [pattern]) as seen:
        assert hooks(network) == len(expected)
        assert explicit_maps(network) == (expected if pattern.endswith(MAPS) else set())
        network(IMAGE)
    assert seen.keys() == expected
    assert hooks(network) == 0 and explicit_maps(network) == set()


def test_overlapping_patterns_record_once(lively: Lively) -> None:
    network = lively()
    name = "groups.0.blocks.1.global_prompting.anchors"
    with record(network, [name, "*.anchors", "groups.0.*.anchors", name]) as seen:
        assert hooks(network) == 4
        network(IMAGE)
    assert len(seen) == 4


def test_the_latest_forward_pass_counts(lively: Lively) -> None:
    network = lively(groups=1, blocks_per_group=1)
    with record(network, ["*.anchors"]) as seen:
        assert seen == {}
        network(IMAGE)
        (first,) = seen.values()
        network(1 - IMAGE)
        (second,) = seen.values()
    network(IMAGE)  # is not seen any more
    assert not torch.equal(first, second) and next(iter(seen.values())) is second


def test_values_stay_in_the_graph(lively: Lively) -> None:
    network = lively(groups=1, blocks_per_group=1)
    image = IMAGE.clone().requires_grad_()
    with record(network, ["*.coarse_map"]) as seen:
        network(image)
    (value,) = seen.values()
    (gradient,) = torch.autograd.grad(value.square().sum(), image)
    assert float(gradient.abs().sum()) > 0


def test_recording_changes_nothing(lively: Lively) -> None:
    network, image = lively().requires_grad_(False), IMAGE.clone()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = network(image)
    with record(network, ["*.anchors", "*_category", "*.anchor_prompts"]):
        assert torch.equal(network(image), plain)
    with record(network, ["*"]):
        torch.testing.assert_close(network(image), plain, atol=1e-4, rtol=1e-4)
    assert torch.equal(network(image), plain) and torch.equal(image, IMAGE)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_network_that_fails_leaves_no_trace(lively: Lively) -> None:
    network = lively()
    with pytest.raises(RuntimeError), record(network, ["*"]), explicit_attention(network):
        network(IMAGE.double())
    assert hooks(network) == 0 and explicit_maps(network) == set()


def test_a_wrong_name_leaves_no_trace_and_names_the_kinds(lively: Lively) -> None:
    network = lively()
    pattern = r"'\*\.colour'.*anchor_prompts.*coarse_map.*weights"
    with pytest.raises(ConfigError, match=pattern), record(network, ["*.anchors", "*.fine_map", "*.colour"]):
        raise AssertionError("entered")
    assert hooks(network) == 0 and explicit_maps(network) == set()
    with pytest.raises(ConfigError, match="none"), record(nn.Linear(2, 2), ["*"]):
        raise AssertionError("entered")


def test_nesting_restores_map_by_map(lively: Lively) -> None:
    network = lively()
    fine = {f"groups.{group}.blocks.{block}.global_prompting.fine_map" for group in range(2) for block in range(2)}
    coarse = {name.replace("fine", "coarse") for name in fine}
    with record(network, ["*.fine_map"]) as outer:
        assert explicit_maps(network) == fine
        with record(network, ["*.coarse_map", "*.anchors"]) as inner:
            assert explicit_maps(network) == fine | coarse
            with explicit_attention(network):
                assert explicit_maps(network) == all_maps(network)
                network(IMAGE)
            assert explicit_maps(network) == fine | coarse
        assert explicit_maps(network) == fine and hooks(network) == 4
    assert explicit_maps(network) == set() and hooks(network) == 0
    assert (len(outer), len(inner)) == (4, 8)


def test_a_map_that_was_explicit_stays_so(lively: Lively) -> None:
    network = lively()
    tap = network.get_submodule("groups.0.blocks.0.global_prompting.coarse_map")
    assert isinstance(tap, MapTap)
    tap.explicit = True
    for context in (record(network, ["*"]), explicit_attention(network)):
        with context:
            assert explicit_maps(network) == all_maps(network)
        assert explicit_maps(network) == {"groups.0.blocks.0.global_prompting.coarse_map"}


def test_two_networks_do_not_share_a_path(lively: Lively) -> None:
    one, other = lively(), lively()
    with explicit_attention(one):
        assert explicit_maps(other) == set()
    assert not MapTap.explicit


def test_a_tap_is_the_identity() -> None:
    value = torch.randn(3)
    assert Tap()(value) is value
    assert not list(Tap().parameters()) and not Tap().state_dict()
