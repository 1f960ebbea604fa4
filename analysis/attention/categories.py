"""Into which categories does a PromptSR network sort the pixels of an image, from block to block?

maps = categories(network, image)
maps.maps[0].labels  # H x W, for each pixel the anchor that is most similar
maps.table, maps.between, maps.within
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from skimage.segmentation import find_boundaries
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from analysis.common.token_grid import TokenGrid
from promptsr.model.network import PromptSR
from promptsr.model.taps import record
from promptsr.support.errors import UserError

Kind = Literal["coarse", "fine"]
KINDS: tuple[Kind, ...] = ("coarse", "fine")


@dataclass(frozen=True, eq=False)
class CategoryMap:
    """The categories by one similarity map: M_coarse (eq. 7) or M_fine (eq. 10) of one cascade prompting block."""

    group: int
    """Residual group, from 1."""
    block: int
    """Block in the group, from 1."""
    kind: Kind
    labels: np.ndarray
    """H x W int32: the category of each pixel is the index of an anchor, in reading order on the padded anchor grid."""

    @property
    def name(self) -> str:
        """Return a name such as `group 1, block 2, fine`."""
        return f"group {self.group}, block {self.block}, {self.kind}"

    @cached_property
    def largest_first(self) -> tuple[np.ndarray, np.ndarray]:
        """The categories that have pixels, and how many, the largest first."""
        used, sizes = np.unique(self.labels, return_counts=True)
        order = np.argsort(-sizes, kind="stable")
        return used[order], sizes[order]


class MeanPatch(NamedTuple):
    """Mean surroundings of the pixels of a category."""

    category: int
    pixels: int
    patch: np.ndarray
    """side x side x 3 in [0, 1], the pixel in the middle."""


@dataclass(frozen=True, eq=False)
class CategoryMaps:
    """The category maps of all blocks for one image.

    They are computed by every network with anchor prompting, also where an ablation lets no layer group by them.
    """

    grid: TokenGrid
    maps: tuple[CategoryMap, ...]
    """Forward order: the coarse and the fine one of each block."""

    @property
    def anchor_grid(self) -> tuple[int, int]:
        """Rows and columns of anchors on the padded image, to which the labels refer."""
        height, width = self.grid.padded
        return height // self.grid.config.anchor_stride, width // self.grid.config.anchor_stride

    def of(self, kind: Kind) -> tuple[CategoryMap, ...]:
        """The maps of one kind, from the first block to the last."""
        return tuple(each for each in self.maps if each.kind == kind)

    @cached_property
    def plain_grid(self) -> np.ndarray:
        """H x W: every pixel in the category of the anchor whose d x d square it lies in."""
        height, width = self.grid.height, self.grid.width
        y, x = np.indices((height, width)) // self.grid.config.anchor_stride
        return (y * self.anchor_grid[1] + x).astype(np.int32)

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per map: group, block, kind, and the columns of `measures`."""
        rows = [{"group": m.group, "block": m.block, "kind": m.kind, **self.measures(m.labels)} for m in self.maps]
        return pd.DataFrame(rows)

    def measures(self, labels: np.ndarray) -> dict[str, float]:
        """Measure one H x W map.

        Returns:
            used: number of categories that have pixels.
            largest: share of the pixels in the largest.
            effective: number of equally large categories of the same entropy, exp(-sum p log p).
            distance: mean distance in pixels from a pixel to the middle of its anchor's square: small for compact
                categories near their own anchor.
            distance_shuffled: the same with the labels shuffled over the pixels.
            border: share of the pixels with a neighbour (above, below, left or right) of another category.
        """
        share = np.unique(labels, return_counts=True)[1] / labels.size
        return {
            "used": len(share),
            "largest": float(share.max()),
            "effective": float(np.exp(-(share * np.log(share)).sum())),
            "distance": self._distance(labels),
            "distance_shuffled": self._distance(shuffle(labels)),
            "border": float(find_boundaries(labels, connectivity=1, mode="thick").mean()),
        }

    def _distance(self, labels: np.ndarray) -> float:
        stride = self.grid.config.anchor_stride
        y, x = np.indices(labels.shape)
        row, column = np.divmod(labels, self.anchor_grid[1])
        middle = (stride - 1) / 2
        return float(np.hypot(row * stride + middle - y, column * stride + middle - x).mean())

    @cached_property
    def between(self) -> pd.DataFrame:
        """How far the categories stay the same from block to block: kind, group and block of the latter, and ari.

        The adjusted Rand index (Hubert and Arabie, 1985) is 1 for the same partition and 0 on average by chance.
        """
        rows = [
            {"kind": kind, "group": after.group, "block": after.block, "ari": _ari(before, after)}
            for kind in KINDS
            for before, after in pairwise(self.of(kind))
        ]
        return pd.DataFrame(rows, columns=["kind", "group", "block", "ari"])

    @cached_property
    def within(self) -> pd.DataFrame:
        """Adjusted Rand index of the coarse and the fine map of each block: group, block, ari."""
        pairs = zip(self.of("coarse"), self.of("fine"), strict=True)
        return pd.DataFrame([{"group": c.group, "block": c.block, "ari": _ari(c, f)} for c, f in pairs])


@torch.inference_mode()
def categories(network: PromptSR, image: Tensor) -> CategoryMaps:
    """The category maps of every block, from one pass in which attention stays fused: no similarity map is stored.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1].

    Raises:
        UserError: the network has no anchor prompting.
    """
    if not network.config.anchor_prompting:
        raise UserError("This network has no anchor prompting, so it has no categories: choose one with anchors.")
    grid = TokenGrid(network.config, *image.shape[2:])
    with record(network, [f"*.{kind}_category" for kind in KINDS]) as seen:
        network(image)
    return CategoryMaps(grid, tuple(_cut(network, grid, seen)))


def _cut(network: PromptSR, grid: TokenGrid, seen: dict[str, Tensor]) -> Iterator[CategoryMap]:
    for group in range(network.config.groups):
        for block in range(network.config.blocks_per_group):
            for kind in KINDS:
                labels = seen[f"groups.{group}.blocks.{block}.global_prompting.{kind}_category"][0]  # HW
                yield CategoryMap(group + 1, block + 1, kind, grid.cut(labels).astype(np.int32))


def mean_patches(labels: np.ndarray, image: np.ndarray, *, count: int = 8, side: int = 9) -> list[MeanPatch]:
    """Return the mean patch of the image around the pixels of each of the largest categories of a map.

    Args:
        labels: H x W.
        image: H x W x 3 in [0, 1]; beyond its border it goes on with its outermost pixels.
        count: categories at most.
        side: of a patch in pixels, odd.
    """
    used, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    half, (height, width) = side // 2, labels.shape
    wide = np.pad(image, ((half, half), (half, half), (0, 0)), mode="edge")
    patches = np.empty((len(used), side, side, 3))
    for y, x, channel in np.ndindex(side, side, 3):
        values = wide[y : y + height, x : x + width, channel].ravel()
        patches[:, y, x, channel] = np.bincount(index.ravel(), values, len(used)) / sizes
    order = np.argsort(-sizes, kind="stable")[:count]
    return [MeanPatch(int(used[i]), int(sizes[i]), patches[i]) for i in order]


def shuffle(labels: np.ndarray) -> np.ndarray:
    """The same labels at random pixels, always the same ones: what remains of a measure by chance."""
    return np.random.default_rng(0).permutation(labels.ravel()).reshape(labels.shape)


def _ari(one: CategoryMap, other: CategoryMap) -> float:
    return float(adjusted_rand_score(one.labels.ravel(), other.labels.ravel()))
