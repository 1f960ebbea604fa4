"""The table over depth: every number again, from what single blocks answer."""

import gc
import math
import weakref
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import entropy
from torch import Tensor

import analysis.attention.depth as attention_depth
from analysis.attention.depth import DepthStudy, Descending, over_depth, sample_pixels
from analysis.attention.jacobian import attention_branch, rank_correlation
from analysis.attention.maps import look
from analysis.attention.weight_maps import reach
from analysis.common.bootstrap import bootstrap_interval
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from tests.analysis.attention.conftest import HEIGHT, WINDOWS_ONLY, noise, uneven

WIDTH = 27  # of the 6 x 8 anchors 5 x 7 touch the image


@pytest.fixture(scope="module")
def image() -> Tensor:
    return noise(HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def study(network: PromptSR, image: Tensor) -> DepthStudy:
    return finish(over_depth(network, image, pixels=4, seed=2, jacobian=True))


def test_numbers_are_those_of_the_blocks(network: PromptSR, image: Tensor, study: DepthStudy) -> None:
    table = study.table
    assert table[["group", "block"]].to_numpy().tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]
    row = table.iloc[2]
    maps = look(network, image, group=1, block=0)
    reaches = [found for x, y in study.pixels if (found := reach(maps.composed(x, y).values, x, y))]
    assert len(reaches) == 4
    names = {"effective_pixels": "effective", "distance": "distance", "radius": "radius", "area": "area"}
    for column, name in names.items():
        assert row[column] == pytest.approx(np.mean([asdict(found)[name] for found in reaches]))
    coarse, fine = (
        maps.taps[f"global_prompting.{kind}_map"][0].softmax(1).double().numpy() for kind in ("coarse", "fine")
    )
    on_image = [r * 8 + c for r in range(5) for c in range(7)]
    assert row["coarse_entropy"] == pytest.approx(entropy(coarse[on_image], axis=1).mean() / math.log(768), rel=1e-5)
    tokens = [r * 32 + c for r in range(HEIGHT) for c in range(WIDTH)]
    assert row["fine_entropy"] == pytest.approx(entropy(fine[tokens], axis=1).mean() / math.log(48), rel=1e-5)
    for head in range(2):
        distances = []
        for x, y in study.pixels:
            weights = maps.windows(x, y, "fine").values[head]
            rows, columns = np.indices(weights.shape)
            distances.append((weights * np.hypot(rows - y, columns - x)).sum() / weights.sum())
        assert row[f"window_fine_{head + 1}"] == pytest.approx(np.mean(distances), rel=1e-5)
    labels = maps.taps["global_prompting.fine_category"][0].numpy()[tokens]
    assert row["fine_categories"] == len(set(labels.tolist()))
    branch = attention_branch(network, image, group=1, block=0)
    ranks = np.array([rank_correlation(maps.composed(*pixel), branch.norm(*pixel)) for pixel in study.pixels])
    assert row["spearman"] == pytest.approx(ranks.mean())
    assert (row["spearman_low"], row["spearman_high"]) == pytest.approx(bootstrap_interval(ranks, 2))


def test_distance_of_category_attention_by_hand(network: PromptSR, image: Tensor, study: DepthStudy) -> None:
    block = "groups.1.blocks.0."
    taps = [block + "fine_prompting.category_attention.weights", block + "global_prompting.fine_category"]
    with record(network, taps) as seen, torch.no_grad():
        network(image)
    weights, labels = seen[taps[0]][0].double().numpy(), seen[taps[1]][0].tolist()
    order = sorted(range(768), key=lambda token: (labels[token], token))
    starts = [*range(0, 700, 100), 668]  # eight groups of 100: the last one is filled up
    for head in range(2):
        distances = []
        for x, y in study.pixels:
            place = order.index(32 * y + x)
            group = place // 100
            total = distance = 0.0
            for offset, weight in enumerate(weights[group, head, place - starts[group]]):
                row, column = divmod(order[starts[group] + offset], 32)
                if row < HEIGHT and column < WIDTH:
                    total += weight
                    distance += weight * math.hypot(row - y, column - x)
            distances.append(distance / total)
        assert study.table[f"category_fine_{head + 1}"][2] == pytest.approx(np.mean(distances), rel=1e-5)


def test_jacobian_is_optional_and_changes_nothing_else(network: PromptSR, image: Tensor, study: DepthStudy) -> None:
    plain = finish(over_depth(network, image, pixels=4, seed=2)).table
    assert [name for name in study.table if name not in plain] == ["spearman", "spearman_low", "spearman_high"]
    pd.testing.assert_frame_equal(plain, study.table[list(plain)])


def test_one_block_at_a_time(network: PromptSR, image: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[Tensor]] = []

    def watched(*arguments: object, **keywords: int) -> object:
        gc.collect()
        assert not [reference for reference in alive if reference() is not None]
        maps = look(*arguments, **keywords)  # type: ignore[arg-type]
        alive[:] = [weakref.ref(value) for value in maps.taps.values()]
        return maps

    monkeypatch.setattr(attention_depth, "look", watched)
    steps: list[Descending] = []
    finish(over_depth(network, image, pixels=1), steps.append)
    assert steps == [Descending(done // 2, done % 2, done, 4) for done in range(4)]
    assert len(alive) == 6


@pytest.mark.parametrize(("height", "width", "number"), [(20, 27, 9), (64, 48, 36), (2, 50, 16), (1, 1, 25)])
def test_pixels_are_spread_and_seeded(height: int, width: int, number: int) -> None:
    pixels = sample_pixels(height, width, number, 1)
    side = int(number**0.5)
    assert len(pixels) == len(set(pixels)) == min(side, height) * min(side, width)
    assert all(0 <= x < width and 0 <= y < height for x, y in pixels)
    assert pixels == sample_pixels(height, width, number, 1)
    if min(height, width) >= side:  # one in each cell
        bounds = [np.linspace(0, length, side + 1).astype(int) for length in (width, height)]
        cells = {tuple(int(np.searchsorted(b, v, "right")) for b, v in zip(bounds, p, strict=True)) for p in pixels}
        assert len(cells) == side**2
    if height > 10:
        assert pixels != sample_pixels(height, width, number, 2)


def test_missing_numbers() -> None:
    """An image of one anchor has no share of entropy, a layer without prompting no categories."""
    network = uneven(groups=1, blocks_per_group=1, anchor_stride=8, coarse_prompting=False)
    table = finish(over_depth(network, noise(5, 7), pixels=1)).table
    assert np.isnan(table["fine_entropy"][0]) and np.isfinite(table["coarse_entropy"][0])
    assert "fine_categories" in table and "coarse_categories" not in table
    assert "category_fine_2" in table and "category_coarse_1" not in table


def test_refusals(network: PromptSR, image: Tensor) -> None:
    with pytest.raises(UserError, match="pixels must be 1 or more"):
        next(over_depth(network, image, pixels=0))
    with pytest.raises(UserError, match="without anchor prompting"):
        next(over_depth(uneven(**WINDOWS_ONLY), image))
    with pytest.raises(UserError, match="crop the image"):
        finish(over_depth(network, torch.zeros(1, 3, 1, 1).expand(1, 3, 4000, 4000)))
