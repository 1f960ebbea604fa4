"""Anchor prompts in the plane, by PCA and t-SNE (Fig. 11), and how well they separate there."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

from analysis.anchors.points import Points
from analysis.anchors.separation import NEIGHBOURS, PERMUTATIONS, Separations, separate_as, separation
from promptsr.support.errors import UserError

PERPLEXITY = 30.0
_COMPONENTS = 50


@dataclass(frozen=True, eq=False)
class Planes:
    """Anchor prompts in the plane. The axes of t-SNE have neither unit nor meaning; distances within one plane do."""

    all: np.ndarray
    """All residual groups in one plane, (groups N) x 2: first all points of group 1."""
    single: np.ndarray
    """Every residual group in a plane of its own, groups x N x 2."""
    perplexity: float
    seed: int


def embed(points: Points, perplexity: float = PERPLEXITY, seed: int = 0) -> Generator[str, None, Planes]:
    """Standardises features, takes at most 50 principal components, and lays them out by t-SNE (van der Maaten, 2008).

    Yields the name of every stage before it begins. Deterministic for a seed on one machine.

    Args:
        points: two of every group or more.
        perplexity: about how many neighbours a point keeps, from 1 to one less than the points of a group.
        seed: of PCA and t-SNE. It hardly matters: t-SNE starts from the principal components.

    Raises:
        UserError: an impossible perplexity, or features that are all the same or not finite.
    """
    features = points.features
    groups, n, width = features.shape
    if n < 2:
        raise UserError("One image makes one point, and one point makes no picture: take more images.")
    if not 1 <= perplexity < n:
        raise UserError(
            f"The perplexity must be from 1 to {n - 1}, one less than the {n} points of a group, not {perplexity:g}: "
            "choose another, or take more images."
        )
    together = yield from _embed(features.reshape(groups * n, width), "all groups", perplexity, seed)
    planes = []
    for i, each in enumerate(features, start=1):
        planes.append((yield from _embed(each, f"group {i}", perplexity, seed)))
    return Planes(together, np.stack(planes), perplexity, seed)


def _embed(features: np.ndarray, what: str, perplexity: float, seed: int) -> Generator[str, None, np.ndarray]:
    """N x F -> N x 2."""
    yield f"standardise {what}"
    if not np.isfinite(features).all() or (features == features[0]).all():
        raise UserError(f"The anchor prompts of {what} are all the same, or not finite: there is nothing to lay out.")
    standard = StandardScaler().fit_transform(features)
    yield f"PCA of {what}"
    components = PCA(min(_COMPONENTS, *standard.shape), random_state=seed).fit_transform(standard)
    yield f"t-SNE of {what}"
    plane: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    return plane


def separate_planes(
    points: Points, planes: Planes, *, k: int = NEIGHBOURS, permutations: int = PERMUTATIONS, seed: int = 0
) -> Separations:
    """Measures what one sees: as `separate`, in the planes, and with the distances that are drawn: not standardised.

    Raises:
        UserError: as `separation`.
    """
    return separate_as(
        planes.all,
        planes.single,
        points,
        lambda x, labels, images: separation(
            x, labels, images=images, k=k, permutations=permutations, seed=seed, standardise=False
        ),
    )
