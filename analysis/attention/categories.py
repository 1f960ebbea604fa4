"""Categories into which a PromptSR network sorts the pixels of an image, from block to block.

maps = categories(network, image)
maps.maps[0].labels  # H x W, for each pixel the anchor that is most similar
maps.table, maps.between, maps.within
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product

import numpy as np
import pandas as pd
import skimage
import torch
from torch import Tensor

from analysis.attention.maps import LAYERS, Layer, check_anchors
from analysis.common.token_grid import TokenGrid
from promptsr.model.network import PromptSR
from promptsr.model.taps import record


@dataclass(frozen=True, eq=False)
class CategoryMap:
    """Categories of one similarity map: M_coarse (eq. 7) or M_fine (eq. 10) of one cascade prompting block."""

    group: int
    """Residual group, from 1."""
    block: int
    """Block in the group, from 1."""
    kind: Layer
    labels: np.ndarray
    """H x W int32: the category of each pixel is the index of an anchor, in reading order on the padded anchor grid."""

    @cached_property
    def largest_first(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the categories that have pixels, and how many, the largest first."""
        used, sizes = np.unique(self.labels, return_counts=True)
        order = np.argsort(-sizes, kind="stable")
        return used[order], sizes[order]


@dataclass(frozen=True, eq=False)
class CategoryMaps:
    """Category maps of all blocks for one image.

    Every network with anchor prompting computes them, also where an ablation lets no layer group by them.
    """

    grid: TokenGrid
    maps: tuple[CategoryMap, ...]
    """Forward order: the coarse and the fine one of each block."""

    def of(self, kind: Layer) -> tuple[CategoryMap, ...]:
        """Return the maps of one kind, from the first block to the last."""
        return tuple(each for each in self.maps if each.kind == kind)

    @cached_property
    def plain_grid(self) -> np.ndarray:
        """Return an H x W map with every pixel in the category of the anchor whose d x d square it lies in."""
        height, width = self.grid.height, self.grid.width
        y, x = np.indices((height, width)) // self.grid.config.anchor_stride
        return (y * self.grid.anchor_grid[1] + x).astype(np.int32)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Return a row per map: group, block, kind, and the columns of `measures`."""
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
            "border": float(skimage.segmentation.find_boundaries(labels, connectivity=1, mode="thick").mean()),
        }

    def _distance(self, labels: np.ndarray) -> float:
        stride = self.grid.config.anchor_stride
        y, x = np.indices(labels.shape)
        row, column = np.divmod(labels, self.grid.anchor_grid[1])
        middle = (stride - 1) / 2
        return float(np.hypot(row * stride + middle - y, column * stride + middle - x).mean())

    @cached_property
    def between(self) -> pd.DataFrame:
        """Compare the maps of successive blocks: kind, group and block of the latter, and ari.

        The adjusted Rand index (Hubert and Arabie, 1985) is 1 for the same partition and 0 on average by chance.
        """
        rows = [
            {"kind": kind, "group": after.group, "block": after.block, "ari": _ari(before, after)}
            for kind in LAYERS
            for before, after in pairwise(self.of(kind))
        ]
        return pd.DataFrame(rows, columns=["kind", "group", "block", "ari"])

    @cached_property
    def within(self) -> pd.DataFrame:
        """Return the adjusted Rand index of the coarse and the fine map of each block: group, block, ari."""
        pairs = zip(self.of("coarse"), self.of("fine"), strict=True)
        return pd.DataFrame([{"group": c.group, "block": c.block, "ari": _ari(c, f)} for c, f in pairs])


@torch.inference_mode()
def categories(network: PromptSR, image: Tensor) -> CategoryMaps:
    """Compute the category maps of every block in one pass; attention stays fused, so no similarity map is stored.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1].

    Raises:
        UserError: the network has no anchor prompting.
    """
    config = network.config
    check_anchors(config)
    grid = TokenGrid(config, *image.shape[2:])
    with record(network, [f"*.{kind}_category" for kind in LAYERS]) as seen:
        network(image)
    maps = []
    for group, block, kind in product(range(config.groups), range(config.blocks_per_group), LAYERS):
        labels = seen[f"groups.{group}.blocks.{block}.global_prompting.{kind}_category"][0]  # HW
        maps.append(CategoryMap(group + 1, block + 1, kind, grid.cut(labels).astype(np.int32)))
    return CategoryMaps(grid, tuple(maps))


def mean_patches(
    labels: np.ndarray, image: np.ndarray, *, count: int = 8, side: int = 9
) -> list[tuple[int, int, np.ndarray]]:
    """Return the mean patch of the image around the pixels of each of the largest categories of a map.

    Args:
        labels: H x W.
        image: H x W x 3 in [0, 1]; beyond its border it goes on with its outermost pixels.
        count: categories at most.
        side: of a patch in pixels, odd.

    Returns:
        For each category its label, the number of its pixels, and the mean of their surroundings, side x side x 3 in
        [0, 1] with the pixel in the middle.
    """
    used, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    half, (height, width) = side // 2, labels.shape
    wide = np.pad(image, ((half, half), (half, half), (0, 0)), mode="edge")
    patches = np.empty((len(used), side, side, 3))
    for y, x, channel in np.ndindex(side, side, 3):
        values = wide[y : y + height, x : x + width, channel].ravel()
        patches[:, y, x, channel] = np.bincount(index.ravel(), values, len(used)) / sizes
    order = np.argsort(-sizes, kind="stable")[:count]
    return [(int(used[i]), int(sizes[i]), patches[i]) for i in order]


def shuffle(labels: np.ndarray) -> np.ndarray:
    """Return the same labels at random pixels, always the same ones: the control by chance of a measure."""
    return np.random.default_rng(0).permutation(labels.ravel()).reshape(labels.shape)


def _ari(one: CategoryMap, other: CategoryMap) -> float:
    from sklearn.metrics import adjusted_rand_score  # late, see analysis.attention.superpixels

    return float(adjusted_rand_score(one.labels.ravel(), other.labels.ravel()))
