"""Agreement of the categories of a network with SLIC superpixels of the image.

study = superpixel_study(network, image)
study.table, study.finding
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy
import skimage
from torch import Tensor

from analysis.ablations.networks import fresh
from analysis.attention.categories import CategoryMaps, categories, shuffle
from promptsr.imaging.picture import to_array
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.support.files import replacing
from promptsr.support.progress import finish

UNTRAINED = 3
"""Number of networks with fresh weights that serve as a control."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of a map of labels with superpixels; compare all measures but `ari` with their value by chance.

    Superpixels are connected and alike in size, categories need not be either: `ari` and `nmi` lose by every category
    that spans several superpixels, `homogeneity` and `asa` do not.
    """

    ari: float
    """Adjusted Rand index: 1 for the same partition, 0 on average by chance."""
    homogeneity: float
    """1 if no superpixel holds pixels of two categories, however many superpixels a category spans (Rosenberg and
    Hirschberg, 2007): 1 - H(category | superpixel) / H(category). Above 0 by chance; NaN for a single category."""
    nmi: float
    """Normalised mutual information in [0, 1] (arithmetic mean of the entropies); above 0 by chance."""
    asa: float
    """Achievable segmentation accuracy (Liu et al., CVPR 2011): share of the pixels whose label is the most frequent
    one of their superpixel."""
    boundary_recall: float
    """Share of the superpixels' border pixels with a border between labels within 1 pixel."""
    boundary_precision: float
    """Share of the border pixels between labels with a superpixels' border within 1 pixel."""


def superpixels(image: np.ndarray, segments: int) -> np.ndarray:
    """Return SLIC superpixels (Achanta et al., TPAMI 2012), by scikit-image with its defaults.

    Args:
        image: H x W x 3 in [0, 1].
        segments: how many to aim at; the number found differs somewhat.

    Returns:
        H x W int.

    Raises:
        UserError: fewer than 2 segments, or more than the image has pixels.
    """
    pixels = image.shape[0] * image.shape[1]
    if not 2 <= segments <= pixels:
        raise UserError(f"The number of segments must lie between 2 and {pixels}, the pixels of the image.")
    found: np.ndarray = skimage.segmentation.slic(image, n_segments=segments, start_label=0, channel_axis=-1)
    return found


def agreement(labels: np.ndarray, segments: np.ndarray) -> Agreement:
    """Compare two partitions of the same image, both H x W; `segments` are the superpixels."""
    # Imported here because it takes a second that the page does not have when it opens.
    from sklearn.metrics import adjusted_rand_score, homogeneity_score, normalized_mutual_info_score
    from sklearn.metrics.cluster import contingency_matrix

    one, other = labels.ravel(), segments.ravel()
    counts = contingency_matrix(other, one, sparse=True)  # segments x labels
    edges, borders = (
        skimage.segmentation.find_boundaries(each, connectivity=1, mode="thick") for each in (labels, segments)
    )
    return Agreement(
        ari=float(adjusted_rand_score(other, one)),
        homogeneity=float(homogeneity_score(one, other)) if len(np.unique(one)) > 1 else float("nan"),
        nmi=float(normalized_mutual_info_score(other, one)),
        asa=float(counts.max(axis=1).sum() / labels.size),
        boundary_recall=_within(borders, edges),
        boundary_precision=_within(edges, borders),
    )


def _within(edges: np.ndarray, others: np.ndarray) -> float:
    """Return the share of border pixels with other ones within 1 pixel (in 8 directions); NaN if there are none."""
    return float(scipy.ndimage.binary_dilation(others, np.ones((3, 3)))[edges].mean()) if edges.any() else float("nan")


@dataclass(frozen=True, eq=False)
class SuperpixelStudy:
    """Category maps of a network beside SLIC superpixels of its input, with controls."""

    maps: CategoryMaps
    untrained: tuple[CategoryMaps, ...]
    """Maps of networks of the same configuration with fresh weights."""
    segments: np.ndarray
    """H x W, the superpixels."""

    @cached_property
    def grid(self) -> Agreement:
        """Return the score of the plain anchor grid, the baseline of squares."""
        return agreement(self.maps.plain_grid, self.segments)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Return a row per map: the columns of `CategoryMaps.table`, and each measure of `Agreement` as
        `<measure>_slic`, with its controls `_shuffled` (the labels at random pixels), `_untrained` (mean over networks
        where it is defined) and `_grid`."""
        sources = {
            "": self._agreements(self.maps),
            "_shuffled": pd.DataFrame([asdict(agreement(shuffle(m.labels), self.segments)) for m in self.maps.maps]),
            "_untrained": pd.concat(self._controls).groupby(level=0).mean(),
            "_grid": pd.DataFrame([asdict(self.grid)] * len(self.maps.maps)),
        }
        columns = {
            f"{field.name}_slic{suffix}": values[field.name]
            for field in fields(Agreement)
            for suffix, values in sources.items()
        }
        return self.maps.table.assign(**columns)

    def _agreements(self, maps: CategoryMaps) -> pd.DataFrame:
        return pd.DataFrame([asdict(agreement(each.labels, self.segments)) for each in maps.maps])

    @cached_property
    def _controls(self) -> list[pd.DataFrame]:
        return [self._agreements(maps) for maps in self.untrained]

    @property
    def untrained_means(self) -> tuple[float, ...]:
        """Return the mean ARI over all maps, of each untrained network."""
        return tuple(float(control["ari"].mean()) for control in self._controls)

    @property
    def finding(self) -> str:
        """Judge the mean ARI over all maps; anything that random weights do equally well is not a finding."""
        own, best = float(self.table["ari_slic"].mean()), max(self.untrained_means)
        numbers = f"mean ARI with SLIC {own:.3f}, untrained networks up to {best:.3f}, plain grid {self.grid.ari:.3f}"
        if own <= best:
            return f"No finding: categories of untrained networks agree with superpixels as well ({numbers})."
        beyond = "but no more than" if own <= self.grid.ari else "and more than"
        return (
            f"On this image the categories agree with superpixels more than those of {len(self.untrained)} untrained "
            f"networks, {beyond} the plain anchor grid ({numbers})."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; each row of the table has the sizes of its categories, the largest first."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        sizes = [each.largest_first[1].tolist() for each in self.maps.maps]
        return {
            "width": self.maps.grid.width,
            "height": self.maps.grid.height,
            "anchors": list(self.maps.grid.anchor_grid),
            "superpixels": len(np.unique(self.segments)),
            "finding": self.finding,
            "grid": asdict(self.grid),
            "maps": [{**row, "sizes": own} for row, own in zip(rows, sizes, strict=True)],
            "between": self.maps.between.to_dict("records"),
            "within": self.maps.within.to_dict("records"),
        }

    def save(self, path: Path) -> None:
        """Write a `.npz` file: `labels` (maps x H x W) with `group`, `block` and `kind` of each map, `segments`
        (H x W) and `anchor_grid` (rows, columns)."""
        maps = self.maps.maps
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary,
                labels=np.stack([each.labels for each in maps]),
                group=np.array([each.group for each in maps]),
                block=np.array([each.block for each in maps]),
                kind=np.array([each.kind for each in maps]),
                segments=self.segments,
                anchor_grid=np.array(self.maps.grid.anchor_grid),
            )


def superpixel_study(network: PromptSR, image: Tensor, segments: int | None = None) -> SuperpixelStudy:
    """Compute everything in one go; see `superpixel_steps`."""
    return finish(superpixel_steps(network, image, segments))


def superpixel_steps(
    network: PromptSR, image: Tensor, segments: int | None = None
) -> Generator[None, None, SuperpixelStudy]:
    """Compute category maps, superpixels of the input, and the same maps of untrained networks.

    Yields after each network; closing the generator stops the work.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1].
        segments: see `superpixels`; as many as the image has anchors if None.

    Raises:
        UserError: the network has no anchor prompting, or an impossible number of segments.
    """
    height, width = image.shape[2:]
    stride = network.config.anchor_stride
    found = superpixels(to_array(image), -(-height // stride) * -(-width // stride) if segments is None else segments)
    maps = categories(network, image)
    yield
    controls = []
    for seed in range(UNTRAINED):
        controls.append(categories(fresh(network.config, seed).to(image.device), image))
        yield
    return SuperpixelStudy(maps, tuple(controls), found)
