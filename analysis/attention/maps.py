"""Attention maps of a block: one forward pass, then any number of cheap questions about pixels and anchors.

maps = look(network, image, group=3, block=1)
maps.composed(40, 24).values  # which pixels the prompts of pixel (40, 24) were read from, H x W
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, takewhile
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from analysis.attention.weight_maps import WeightMap, weight_map
from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
from promptsr.model.groups import category_groups
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError

MEMORY_BUDGET = 2 * 2**30
"""Bytes that the whole maps of one block may take."""
_CHUNK = 64  # anchors whose reading areas are composed at once

Layer = Literal["coarse", "fine"]
"""Similarity map of a block, or local prompting layer."""
LAYERS: tuple[Layer, Layer] = ("coarse", "fine")


def grouping(config: ModelConfig, layer: Layer) -> Layer | None:
    """Return the similarity map by which a local prompting layer groups tokens; None if it has windows only."""
    if layer == "coarse":
        return "coarse" if config.coarse_prompting else None
    return None if config.fine_prompting == "off" else config.fine_prompting


@dataclass(frozen=True)
class ReadAnchor:
    """An anchor that a pixel reads."""

    index: int
    """Index in reading order, on the padded image."""
    x: int
    """Left end of its square, in pixels."""
    y: int
    """Top of its square."""
    weight: float
    """Its share among all anchors, from SoftMax(M_fine)."""


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """Maps of one block on one image; every answer is cut to the image, with the share that fell on the padding.

    Raises:
        UserError: in all methods, for a pixel outside of the image or a prompting that the network was built without.
    """

    grid: TokenGrid
    group: int
    """Residual group, from 0, as `block`."""
    block: int
    taps: Mapping[str, Tensor]
    """Values at the taps of the block, by their name within it, with the batch of one."""

    def fine(self, x: int, y: int) -> WeightMap:
        """Return how much the pixel reads each anchor, its row of SoftMax(M_fine) in eq. 10: h x w, of sum 1."""
        stride = self.grid.config.anchor_stride
        return weight_map(self.grid, self._fine_row(x, y), stride)

    def top_anchors(self, x: int, y: int, number: int = 3) -> tuple[ReadAnchor, ...]:
        """Return the anchors on the image that the pixel reads most, the most read one first."""
        fine = self.fine(x, y)
        anchors = []
        for place in np.argsort(-fine.values, axis=None, kind="stable")[:number]:
            row, column = divmod(int(place), fine.values.shape[1])
            left, top = column * fine.stride, row * fine.stride
            index = self.grid.index(left, top, fine.stride)
            anchors.append(ReadAnchor(index, left, top, float(fine.values[row, column])))
        return tuple(anchors)

    def reading(self, anchor: int) -> WeightMap:
        """Return how much an anchor reads each pixel, its row of SoftMax(M_coarse) in eq. 7: H x W, of sum 1.

        Args:
            anchor: from 0 to n - 1 in reading order, on the padded image.
        """
        coarse = self._similarities("coarse")
        if not 0 <= anchor < len(coarse):
            raise UserError(f"There is no anchor {anchor}: choose one from 0 to {len(coarse) - 1}.")
        return weight_map(self.grid, coarse[anchor].softmax(0))

    def composed(self, x: int, y: int) -> WeightMap:
        """Return the attention from pixel to pixel, a row of SoftMax(M_fine) SoftMax(M_coarse): H x W, of sum 1.

        It leaves out that K_p and V_p mix neighbouring anchor prompts by 3 x 3 (eq. 9), that prompts of the block
        before are carried over (eq. 8), and that anchors are averages of features themselves. The Jacobian of the
        layer (`analysis.attention.jacobian`) has all of it but the carry-over.
        """
        weights = self._fine_row(x, y).split(_CHUNK)
        readings = self._similarities("coarse").split(_CHUNK)
        return weight_map(self.grid, sum(w @ m.softmax(1) for w, m in zip(weights, readings, strict=True)))

    def windows(self, x: int, y: int, layer: Layer) -> WeightMap:
        """Return the weights of the pixel's window, by head (WSA of eq. 13 or 15): heads x H x W, each of sum 1."""
        self.grid.check_pixel(x, y)
        shift = self.grid.config.window_size // 2 if layer == "fine" else 0
        row = self.grid.window_row(self.taps[f"{layer}_prompting.window_attention.weights"], x, y, shift)
        return weight_map(self.grid, row)

    def category(self, x: int, y: int, layer: Layer) -> np.ndarray:
        """Return the mask of the pixels of the same category in that layer: H x W, bool."""
        labels = self.labels(layer)
        self.grid.check_pixel(x, y)
        return self.grid.cut(labels == labels[self.grid.index(x, y)]).astype(bool)

    def members(self, x: int, y: int, layer: Layer) -> np.ndarray:
        """Return the mask of the pixel's group in category self-attention: H x W, bool.

        On the padded image a group has `category_size` tokens, of one category or of several that follow each other.
        The last one is filled up with tokens of the group before it; these keep the result of their own group, which
        is the one returned.
        """
        labels = self.labels(layer)
        self.grid.check_pixel(x, y)
        size = min(self.grid.config.category_size, len(labels))
        groups = category_groups(labels[None], size).members  # groups x size
        own = groups[(groups == self.grid.index(x, y)).any(1)][0]
        inside = torch.zeros_like(labels, dtype=torch.bool).index_fill(0, own, True)
        return self.grid.cut(inside).astype(bool)

    def labels(self, layer: Layer) -> Tensor:
        """Return the category of every token that the layer groups by: HW, on the padded image."""
        source = grouping(self.grid.config, layer)
        if source is None:
            raise UserError(f"This network was built without {layer} prompting: it has no {layer} categories.")
        return self.taps[f"global_prompting.{source}_category"][0]

    def _similarities(self, kind: Layer) -> Tensor:
        """Return M_coarse, n x HW, or M_fine, HW x n, before their SoftMax."""
        check_anchors(self.grid.config)
        return self.taps[f"global_prompting.{kind}_map"][0]

    def _fine_row(self, x: int, y: int) -> Tensor:
        self.grid.check_pixel(x, y)
        return self._similarities("fine")[self.grid.index(x, y)].softmax(0)


@torch.inference_mode()
def look(network: PromptSR, image: Tensor, *, group: int, block: int) -> AttentionMaps:
    """Send an image through the network and keep the maps of one block; all other blocks stay fused.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1].
        group: residual group, from 0.
        block: cascade prompting block in the group, from 0.

    Raises:
        UserError: no such group or block, or the maps would take more than `MEMORY_BUDGET`.
    """
    config = network.config
    check_block(config, group, block)
    grid = TokenGrid(config, *image.shape[2:])
    _check_memory(grid)
    path = f"groups.{group}.blocks.{block}."
    names = [f"{layer}_prompting.window_attention.weights" for layer in LAYERS]
    if config.anchor_prompting:
        names += [f"global_prompting.{kind}_{what}" for kind in LAYERS for what in ("map", "category")]
    with record(network, [path + name for name in names]) as seen:
        network(image)
    return AttentionMaps(grid, group, block, {name.removeprefix(path): value for name, value in seen.items()})


def check_anchors(config: ModelConfig) -> None:
    """Raise a `UserError` if the network was built without anchor prompting."""
    if not config.anchor_prompting:
        raise UserError("This network was built without anchor prompting: choose one that has anchors.")


def check_block(config: ModelConfig, group: int, block: int) -> None:
    """Raise a `UserError` if the network has no such block; both numbers count from 0."""
    if not (0 <= group < config.groups and 0 <= block < config.blocks_per_group):
        raise UserError(
            f"There is no block {block + 1} in group {group + 1}: this network has {config.groups} groups of "
            f"{config.blocks_per_group} blocks."
        )


def maps_bytes(config: ModelConfig, height: int, width: int) -> int:
    """Return the bytes of the whole maps of one block, as `look` keeps them, for an image of this size.

    The peak while the block works is higher, since SoftMax is taken of one map at a time: 1.6 times as much for 256 x
    256 pixels of promptsr-tiny, on top of what a plain pass needs for smaller ones.
    """
    grid = TokenGrid(config, height, width)
    windows = 2 * config.heads * grid.tokens * config.window_size**2
    similarities = 2 * math.prod(grid.anchor_grid) * grid.tokens
    categories = 2 * grid.tokens  # int64
    return 4 * windows + config.anchor_prompting * (4 * similarities + 8 * categories)


def _check_memory(grid: TokenGrid) -> None:
    """Raise a `UserError` if the maps would take more than `MEMORY_BUDGET`."""
    config = grid.config
    need = maps_bytes(config, grid.height, grid.width)
    if need > MEMORY_BUDGET:
        multiple = config.size_multiple
        sides = takewhile(lambda side: maps_bytes(config, side, side) <= MEMORY_BUDGET, count(multiple, multiple))
        largest = max(sides, default=0)
        hint = f"crop the image to {largest} x {largest} pixels" if largest else "choose a network with smaller windows"
        raise UserError(
            f"The attention maps of one block for {grid.width} x {grid.height} pixels would take {need:,} bytes, more "
            f"than {MEMORY_BUDGET:,}: {hint}."
        )
