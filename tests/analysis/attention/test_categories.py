"""Category maps against the paper's equations, and their measures against counting by hand."""

import math
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from analysis.attention.categories import CategoryMap, CategoryMaps, categories, mean_patches, shuffle
from analysis.common.token_grid import TokenGrid
from promptsr.model import attention
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from tests.analysis.attention.conftest import CONFIG, HEIGHT, WIDTH, WINDOWS_ONLY, by_equations, hooks, on_image, uneven


@pytest.fixture(scope="module")
def maps(network: PromptSR, image: Tensor) -> CategoryMaps:
    return categories(network, image)


def test_maps_are_the_argmax_of_the_equations(network: PromptSR, image: Tensor, maps: CategoryMaps) -> None:
    order = [(g, b, kind) for g in (1, 2) for b in (1, 2) for kind in ("coarse", "fine")]
    assert [(m.group, m.block, m.kind) for m in maps.maps] == order
    for found in maps.maps:
        path = f"groups.{found.group - 1}.blocks.{found.block - 1}.global_prompting"
        similarities = by_equations(network, image, path)[f"{found.kind}_map"]
        similarities = similarities.T if found.kind == "coarse" else similarities  # HW x n
        assert found.labels.shape == (HEIGHT, WIDTH) and found.labels.dtype == np.int32
        assert len(np.unique(found.labels)) > 3
        chosen = np.stack([on_image(column) for column in similarities.T], axis=2)  # H x W x n
        gap = chosen.max(2) - np.take_along_axis(chosen, found.labels[..., None].astype(int), axis=2)[..., 0]
        # Single precision may tell equals apart in another way.
        assert gap.max() <= 1e-5 * np.ptp(similarities) and (gap > 0).mean() < 0.01


def test_attention_stays_fused_and_hooks_go(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "similarity", lambda *_args: 1 / 0)
    categories(network, image)
    monkeypatch.setattr(network.decoder, "forward", lambda _x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        categories(network, image)
    assert hooks(network) == []


def planted(*labels: Any) -> CategoryMaps:
    """Maps of successive blocks for an 8 x 8 image with 2 x 2 anchors, coarse and fine in turn."""
    kinds: Any = ("coarse", "fine")
    maps = [CategoryMap(1, 1 + i // 2, kinds[i % 2], np.array(values, np.int32)) for i, values in enumerate(labels)]
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
    assert [pixels for _, pixels, _ in patches] == sorted(sizes.values(), reverse=True)[:3]
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
    with pytest.raises(UserError, match="without anchor prompting: choose"):
        categories(uneven(**WINDOWS_ONLY), image)
