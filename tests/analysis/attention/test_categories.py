"""Category maps against the brute-force argmax of similarity maps, and their measures against counting by hand."""

import math
from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from analysis.attention.categories import CategoryMap, CategoryMaps, categories, mean_patches, shuffle
from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
from promptsr.model import attention
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError

CONFIG = ModelConfig(
    scale=2, channels=8, groups=2, blocks_per_group=2, anchor_stride=4, window_size=8, category_size=16, heads=2
)
HEIGHT, WIDTH = 20, 30  # padded to 24 x 32, with 6 x 8 anchors


@pytest.fixture(scope="module")
def network() -> PromptSR:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = PromptSR(CONFIG).eval()
        for parameter in network.parameters():  # so that many anchors are chosen
            torch.nn.init.normal_(parameter, std=0.25)
    return network


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(5))


@pytest.fixture(scope="module")
def maps(network: PromptSR, image: Tensor) -> CategoryMaps:
    return categories(network, image)


def on_image(values: Tensor) -> np.ndarray:
    return values.reshape(24, 32)[:HEIGHT, :WIDTH].numpy()


def test_every_block_has_its_two_maps_in_forward_order(maps: CategoryMaps) -> None:
    order = [(g, b, kind) for g in (1, 2) for b in (1, 2) for kind in ("coarse", "fine")]
    assert [(m.group, m.block, m.kind) for m in maps.maps] == order
    assert maps.anchor_grid == (6, 8)
    assert all(m.labels.shape == (HEIGHT, WIDTH) and m.labels.dtype == np.int32 for m in maps.maps)
    assert min(len(np.unique(m.labels)) for m in maps.maps) > 3
    assert [m.name for m in maps.of("fine")][1] == "group 1, block 2, fine"


def test_maps_are_the_argmax_of_the_explicit_similarity_maps(
    network: PromptSR, image: Tensor, maps: CategoryMaps
) -> None:
    with torch.no_grad(), record(network, ["*_category"]) as fused:
        network(image)
    # Both paths round in their own ways, so equals may be told apart differently: the explicit one goes on with the
    # categories of the other, lest a difference spread.
    with torch.no_grad(), ExitStack() as stack:
        seen = stack.enter_context(record(network, ["*.coarse_map", "*.fine_map"]))
        for name, value in fused.items():
            hook = network.get_submodule(name).register_forward_hook(lambda *_, value=value: value)
            stack.callback(hook.remove)
        network(image)
    for found in maps.maps:
        path = f"groups.{found.group - 1}.blocks.{found.block - 1}.global_prompting.{found.kind}_"
        chosen = fused[path + "category"][0]
        np.testing.assert_array_equal(found.labels, on_image(chosen))
        similarities = seen[path + "map"][0].T if found.kind == "coarse" else seen[path + "map"][0]  # HW x n
        gap = similarities.amax(1) - similarities.gather(1, chosen[:, None])[:, 0]
        assert float(gap.max()) <= 1e-5 * float(similarities.max() - similarities.min())
        assert float((gap > 0).double().mean()) < 0.01


def test_no_other_anchor_is_more_similar_in_double_precision(network: PromptSR, image: Tensor) -> None:
    layer: Any = network.get_submodule("groups.1.blocks.1.global_prompting")
    inputs: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, args, _out: inputs.extend(args))
    try:
        maps = categories(network, image)
    finally:
        handle.remove()
    x, previous = (value.double() for value in inputs)
    weights = {name: value.detach().double() for name, value in layer.state_dict().items()}

    def linear(name: str, values: Tensor) -> Tensor:
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def convolved(name: str, values: Tensor, stride: int, padding: int) -> Tensor:
        w, b = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return torch.nn.functional.conv2d(values, w, b, stride, padding, groups=8)[0].flatten(1).T

    tokens = x.reshape(24 * 32, 8)
    anchors = linear("anchor", convolved("downscale", x.permute(0, 3, 1, 2), 4, 2))
    coarse = anchors @ linear("key", tokens).T / math.sqrt(8)
    prompts = 0.01 * previous[0] + 0.99 * coarse.softmax(1) @ linear("value", tokens)
    keys = convolved("prompt_key", prompts.T.reshape(1, 8, 6, 8), 1, 1)
    fine = linear("query", tokens) @ (keys + anchors).T / math.sqrt(8)
    for found, similarity in zip(maps.maps[-2:], (coarse.T, fine), strict=True):
        rows = similarity.reshape(24, 32, 48)[:HEIGHT, :WIDTH].numpy()
        chosen = np.take_along_axis(rows, found.labels[..., None].astype(int), axis=2)[..., 0]
        np.testing.assert_allclose(chosen, rows.max(2), atol=1e-5)
        assert (rows.argmax(2) == found.labels).mean() > 0.99


def test_attention_stays_fused_and_hooks_go(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "similarity", lambda *_args: 1 / 0)
    categories(network, image)
    monkeypatch.setattr(network.decoder, "forward", lambda _x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        categories(network, image)
    assert not any(module._forward_hooks for module in network.modules())


def planted(*labels: Any) -> CategoryMaps:
    """Maps of an 8 x 8 image with 2 x 2 anchors, coarse and fine in turn."""
    kinds: Any = ("coarse", "fine")
    maps = (
        CategoryMap(1 + i // 4, 1 + i // 2 % 2, kinds[i % 2], np.asarray(values, dtype=np.int32))
        for i, values in enumerate(labels)
    )
    return CategoryMaps(TokenGrid(CONFIG, 8, 8), tuple(maps))


def test_measures_by_hand() -> None:
    labels = np.zeros((8, 8), int)
    labels[:, 6:] = 3
    measures = planted(labels, labels).table.iloc[0]
    assert (measures["used"], measures["largest"]) == (2, 0.75)
    assert measures["effective"] == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)))
    assert measures["border"] == pytest.approx(2 / 8)  # columns 5 and 6
    # The middles of the squares of anchors 0 and 3 lie at (1.5, 1.5) and (5.5, 5.5).
    distances = [math.dist((x, y), (1.5, 1.5) if x < 6 else (5.5, 5.5)) for x in range(8) for y in range(8)]
    assert measures["distance"] == pytest.approx(np.mean(distances))
    single = planted(np.full((8, 8), 2), labels).table.iloc[0]
    assert (single["used"], single["largest"], single["effective"], single["border"]) == (1, 1, 1, 0)


def test_plain_grid_is_the_most_compact_map(maps: CategoryMaps) -> None:
    expected = [[y // 4 * 8 + x // 4 for x in range(WIDTH)] for y in range(HEIGHT)]
    np.testing.assert_array_equal(maps.plain_grid, expected)
    measures = maps.measures(maps.plain_grid)
    square = np.mean([math.dist((x, y), (1.5, 1.5)) for x in range(4) for y in range(4)])
    assert measures["distance"] == pytest.approx(square, rel=0.02)  # at the right border squares are cut
    assert measures["distance_shuffled"] > 5 * measures["distance"]
    assert maps.table["distance"].min() > measures["distance"]


def test_largest_come_first() -> None:
    found = planted([[5] * 8] * 2 + [[1] * 8] * 5 + [[0] * 8], np.zeros((8, 8))).maps[0]
    used, sizes = found.largest_first
    assert (used.tolist(), sizes.tolist()) == ([1, 5, 0], [40, 16, 8])


def test_agreement_from_block_to_block() -> None:
    rng = np.random.default_rng(0)
    first, second, third = (rng.integers(0, 3, (8, 8)) for _ in range(3))
    renamed = (first + 1) % 3
    maps = planted(first, second, renamed, third)
    assert maps.between.to_dict("records") == [
        {"kind": "coarse", "group": 1, "block": 2, "ari": 1.0},
        {"kind": "fine", "group": 1, "block": 2, "ari": adjusted_rand_score(second.ravel(), third.ravel())},
    ]
    expected = [adjusted_rand_score(a.ravel(), b.ravel()) for a, b in ((first, second), (renamed, third))]
    assert maps.within["ari"].tolist() == expected and abs(expected[0]) < 0.2


def test_mean_patches_by_hand() -> None:
    rng = np.random.default_rng(1)
    photo, labels = rng.random((6, 7, 3)), rng.integers(0, 4, (6, 7)) * 10
    patches = mean_patches(labels, photo, count=3, side=3)
    sizes = {label: int((labels == label).sum()) for label in (0, 10, 20, 30)}
    assert [patch.pixels for patch in patches] == sorted(sizes.values(), reverse=True)[:3]
    for category, pixels, patch in patches:
        assert pixels == sizes[category]
        around = [
            [[photo[min(max(y + dy, 0), 5), min(max(x + dx, 0), 6)] for dx in (-1, 0, 1)] for dy in (-1, 0, 1)]
            for y, x in np.argwhere(labels == category)
        ]
        np.testing.assert_allclose(patch, np.mean(around, axis=0))


def test_shuffling_keeps_the_sizes() -> None:
    labels = np.arange(600).reshape(20, 30) // 50
    mixed = shuffle(labels)
    np.testing.assert_array_equal(np.sort(mixed.ravel()), labels.ravel())
    assert mixed.shape == labels.shape and (mixed == shuffle(labels)).all() and (mixed != labels).mean() > 0.8


def test_networks_without_anchors_have_no_categories(image: Tensor) -> None:
    config = ModelConfig(channels=8, anchor_prompting=False, coarse_prompting=False, fine_prompting="off")
    with pytest.raises(UserError, match="no anchor prompting, so it has no categories: choose"):
        categories(PromptSR(config), image)
