"""Reach of attention from block to block.

study = finish(over_depth(network, image))
study.table[["group", "block", "distance"]]
"""

from collections.abc import Generator
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.attention.jacobian import attention_branch, rank_correlation
from analysis.attention.maps import LAYERS, AttentionMaps, check_anchors, grouping, look
from analysis.attention.weight_maps import reach, weight_map
from analysis.common.bootstrap import bootstrap_interval
from analysis.common.token_grid import TokenGrid
from promptsr.model.groups import category_groups
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError

_CHUNK = 1 << 24  # similarities per step of the entropy


@dataclass(frozen=True)
class Descending:
    """Event: progress of the study."""

    group: int
    """Block at work, from 0."""
    block: int
    done: int
    """Blocks finished."""
    total: int


@dataclass(frozen=True, eq=False)
class DepthStudy:
    """Numbers for every block on one image.

    Columns of the table, a row per block:
        group, block: from 1.
        coarse_entropy, fine_entropy: of the rows of SoftMax(M_coarse) and SoftMax(M_fine) that belong to the image,
            their mean as a share of the largest possible, log HW and log n.
        effective_pixels, distance, radius, area: of the composed map, see `weight_maps.Reach`; means over the pixels.
        window_coarse_1, ...: mean distance in the windows of the two local layers by head, input pixels.
        category_coarse_1, ...: the same in category self-attention; missing where the layer has no prompting.
        coarse_categories, fine_categories: how many categories the image's pixels have; missing where the layer has
            no prompting.
        spearman, spearman_low, spearman_high: rank correlation of the composed map and the Jacobian's norm, mean over
            pixels and its 95 % interval (bootstrap over these pixels of this one image); only where it was asked for.
    """

    table: pd.DataFrame
    pixels: tuple[tuple[int, int], ...]
    """Pixels (x, y) that the means are taken over."""


def sample_pixels(height: int, width: int, number: int, seed: int = 0) -> tuple[tuple[int, int], ...]:
    """Draw at most `number` pixels (x, y) spread over an image: a random one in each cell of a square grid."""
    side = max(1, int(number**0.5))
    rng = np.random.default_rng(seed)
    rows, columns = (np.linspace(0, length, min(side, length) + 1).astype(int) for length in (height, width))
    return tuple(
        (int(rng.integers(*columns[c : c + 2])), int(rng.integers(*rows[r : r + 2])))
        for r, c in product(range(len(rows) - 1), range(len(columns) - 1))
    )


def over_depth(
    network: PromptSR, image: Tensor, *, pixels: int = 36, seed: int = 0, jacobian: bool = False
) -> Generator[Descending, None, DepthStudy]:
    """Look into one block after the other; the maps of one at a time are in memory.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1].
        pixels: how many of the image stand for all, at most.
        seed: of their choice.
        jacobian: compare with the exact Jacobian too; that takes C passes back through a layer for each pixel.

    Raises:
        UserError: the network was built without anchor prompting, the maps would take too much memory, or no pixels.
    """
    config = network.config
    check_anchors(config)
    if pixels < 1:
        raise UserError(f"The number of pixels must be 1 or more, not {pixels}.")
    height, width = image.shape[2:]
    chosen = sample_pixels(height, width, pixels, seed)
    blocks = list(product(range(config.groups), range(config.blocks_per_group)))
    rows = []
    for done, (group, block) in enumerate(blocks):
        yield Descending(group, block, done, len(blocks))
        numbers = _look_into(network, image, group, block, chosen, seed if jacobian else None)
        rows.append({"group": group + 1, "block": block + 1, **numbers})
    return DepthStudy(pd.DataFrame(rows), chosen)


def _look_into(
    network: PromptSR, image: Tensor, group: int, block: int, pixels: tuple[tuple[int, int], ...], seed: int | None
) -> dict[str, float]:
    """Return the numbers of one block, whose maps are gone then; with a seed the rank correlation too."""
    maps = look(network, image, group=group, block=block)
    config, taps, composed = maps.grid.config, maps.taps, [maps.composed(*pixel) for pixel in pixels]
    reaches = pd.DataFrame([reach(each.values, *pixel) for each, pixel in zip(composed, pixels, strict=True)]).mean()
    numbers: dict[str, float] = {
        "coarse_entropy": _entropy(maps.grid, taps["global_prompting.coarse_map"][0], config.anchor_stride),
        "fine_entropy": _entropy(maps.grid, taps["global_prompting.fine_map"][0], 1),
        "effective_pixels": reaches["effective"],
        **reaches[["distance", "radius", "area"]],
    }
    for layer in LAYERS:
        heads = [[reach(head, *pixel) for head in maps.windows(*pixel, layer).values] for pixel in pixels]
        for number, found in enumerate(zip(*heads, strict=True), start=1):
            numbers[f"window_{layer}_{number}"] = float(np.mean([each.distance for each in found if each]))
    numbers |= _category_distances(network, image, maps, pixels)
    for layer in LAYERS:
        if grouping(config, layer):
            numbers[f"{layer}_categories"] = len(np.unique(maps.grid.cut(maps.labels(layer))))
    if seed is not None:
        branch = attention_branch(network, image, group=group, block=block)
        ranks = np.array([rank_correlation(each, branch.norm(*p)) for each, p in zip(composed, pixels, strict=True)])
        low, high = bootstrap_interval(ranks, seed)
        numbers |= {"spearman": float(ranks.mean()), "spearman_low": low, "spearman_high": high}
    return numbers


@torch.inference_mode()
def _category_distances(
    network: PromptSR, image: Tensor, maps: AttentionMaps, pixels: tuple[tuple[int, int], ...]
) -> dict[str, float]:
    """Return the mean distance of category self-attention in both local layers of a block, by head, input pixels."""
    grid, numbers = maps.grid, {}
    for layer in [layer for layer in LAYERS if grouping(grid.config, layer)]:
        name = f"groups.{maps.group}.blocks.{maps.block}.{layer}_prompting.category_attention.weights"
        with record(network, [name]) as seen:
            network(image)
        weights = seen[name][0]  # groups x heads x size x size
        members = category_groups(maps.labels(layer)[None], weights.shape[-1]).members  # groups x size
        distances = []
        for x, y in pixels:
            [group, place] = (members == grid.index(x, y)).nonzero()[0]  # of fillers the first group has the result
            row = weights.new_zeros(weights.shape[1], grid.tokens).index_copy(
                1, members[group], weights[group, :, place]
            )
            distances.append([reach(head, x, y) for head in weight_map(grid, row).values])
        for number, found in enumerate(zip(*distances, strict=True), start=1):
            numbers[f"category_{layer}_{number}"] = float(np.mean([each.distance for each in found if each]))
    return numbers


def _entropy(grid: TokenGrid, similarities: Tensor, stride: int) -> float:
    """Return the mean entropy of SoftMax over the rows that belong to the image, as a share of the largest possible.

    Similarities have a row for each square of `stride` x `stride` pixels. NaN where a row has a single entry.
    """
    if similarities.shape[1] == 1:
        return float("nan")
    parts = similarities.split(max(1, _CHUNK // similarities.shape[1]))
    entropies = torch.cat([torch.special.entr(part.softmax(1)).sum(1) for part in parts])
    return float(grid.cut(entropies, stride).mean() / np.log(similarities.shape[1]))
