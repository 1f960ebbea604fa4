"""Attention of one block for one pixel: maps, numbers, files.

seen = attention_of(network, image, group=3, block=1, x=40, y=24)
seen.numbers()["reach"]["composed"]
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from analysis.attention.jacobian import AttentionBranch, attention_branch, rank_correlation
from analysis.attention.maps import LAYERS, AttentionMaps, ReadAnchor, grouping, look
from analysis.attention.weight_maps import Reach, WeightMap, reach
from promptsr.imaging.picture import to_array
from promptsr.model.network import PromptSR
from promptsr.support.files import replacing


@dataclass(frozen=True, eq=False)
class PixelAttention:
    """Attention of a block for one pixel; parts that the network was built without are missing."""

    photo: np.ndarray
    """The image, H x W x 3 in [0, 1]."""
    x: int
    y: int
    group: int
    """Residual group, from 0, as `block`."""
    block: int
    window: int
    """Side of the attention windows."""
    anchors: tuple[ReadAnchor, ...]
    """Anchors that the pixel reads most."""
    weights: dict[str, WeightMap]
    """`fine` (on the anchor grid), `reading_1` and so on for `anchors`, `own_anchor` for the anchor of the pixel's
    square, `composed`, `jacobian` (not of sum 1), `windows_coarse` and `windows_fine` (by head)."""
    groups: dict[str, np.ndarray]
    """`members_coarse`, `category_coarse` and the same for fine: H x W, bool."""
    spearman: float | None
    """Rank correlation of `composed` and `jacobian`; None if one of them is missing or constant."""

    def reach(self, name: str) -> list[Reach | None]:
        """Return the reach of a map in `weights`: by head, or a single one."""
        weights = self.weights[name]
        return [reach(values, self.x, self.y, weights.stride) for values in weights.by_head]

    def numbers(self) -> dict[str, Any]:
        """Return plain values for JSON; group and block count from 1, as on the command line."""
        height, width = self.photo.shape[:2]
        reaches = {name: [found and asdict(found) for found in self.reach(name)] for name in self.weights}
        return {
            "width": width,
            "height": height,
            "x": self.x,
            "y": self.y,
            "group": self.group + 1,
            "block": self.block + 1,
            "anchors": [asdict(anchor) for anchor in self.anchors],
            "reach": {name: found if name.startswith("windows") else found[0] for name, found in reaches.items()},
            "padding_share": {name: weights.padding_share for name, weights in self.weights.items()},
            "group_sizes": {name: int(inside.sum()) for name, inside in self.groups.items()},
            "spearman": self.spearman,
        }

    def save(self, path: Path) -> None:
        """Write all maps to an npz file, with `numbers` as JSON in `about`.

        Raises:
            UserError: the path cannot be written.
        """
        arrays: dict[str, Any] = {name: weights.values for name, weights in self.weights.items()} | self.groups
        about = json.dumps(self.numbers(), allow_nan=False)
        with replacing(path) as temporary:
            np.savez_compressed(temporary, **arrays, about=about)


def attention_of(network: PromptSR, image: Tensor, *, group: int, block: int, x: int, y: int) -> PixelAttention:
    """Look at one pixel; for several of one image, see `attention_at`.

    Arguments are those of `maps.look`, and column and row of the pixel.

    Raises:
        UserError: no such block or pixel, or the maps would take too much memory.
    """
    maps = look(network, image, group=group, block=block)
    anchored = network.config.anchor_prompting
    branch = attention_branch(network, image, group=group, block=block) if anchored else None
    return attention_at(maps, branch, to_array(image), x, y)


def attention_at(
    maps: AttentionMaps, branch: AttentionBranch | None, photo: np.ndarray, x: int, y: int
) -> PixelAttention:
    """Collect everything about a pixel from maps and branch, which serve for all pixels.

    Args:
        maps: of a block.
        branch: of the same block; without it there is no Jacobian.
        photo: the image, H x W x 3 in [0, 1].
        x: column of the pixel.
        y: its row.

    Raises:
        UserError: the pixel lies outside of the image.
    """
    maps.grid.check_pixel(x, y)
    config = maps.grid.config
    weights: dict[str, WeightMap] = {}
    anchors: tuple[ReadAnchor, ...] = ()
    if config.anchor_prompting:
        anchors = maps.top_anchors(x, y)
        weights["fine"] = maps.fine(x, y)
        weights |= {f"reading_{n}": maps.reading(anchor.index) for n, anchor in enumerate(anchors, start=1)}
        weights["own_anchor"] = maps.reading(maps.grid.index(x, y, config.anchor_stride))
        weights["composed"] = maps.composed(x, y)
    spearman = None
    if branch is not None:
        weights["jacobian"] = branch.norm(x, y)
        correlation = rank_correlation(weights["composed"], weights["jacobian"])
        spearman = correlation if math.isfinite(correlation) else None
    weights |= {f"windows_{layer}": maps.windows(x, y, layer) for layer in LAYERS}
    groups = {}
    for layer in LAYERS:
        if grouping(config, layer):
            groups[f"members_{layer}"] = maps.members(x, y, layer)
            groups[f"category_{layer}"] = maps.category(x, y, layer)
    return PixelAttention(photo, x, y, maps.group, maps.block, config.window_size, anchors, weights, groups, spearman)
