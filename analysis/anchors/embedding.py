"""Anchor prompts in the plane, by PCA and t-SNE (Fig. 11), and how well they separate there."""

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from analysis.anchors.points import Points
from analysis.anchors.separation import Separations, separate_as
from promptsr.support.errors import ConfigError, UserError

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


def check_perplexity(perplexity: float, n: int) -> None:
    """Raise a ConfigError unless t-SNE of n points can have this perplexity."""
    if not 1 <= perplexity < n:
        raise ConfigError(
            f"The perplexity must be from 1 to {n - 1}, one less than the {n} points of a group, not {perplexity:g}: "
            "choose another, or take more images."
        )


def embed(points: Points, perplexity: float = PERPLEXITY, seed: int = 0) -> Generator[str, None, Planes]:
    """Standardise features, take at most 50 principal components, and lay them out by t-SNE (van der Maaten, 2008).

    Yields the name of every plane before it begins. Deterministic for a seed on one machine.

    Args:
        points: two of every group or more.
        perplexity: about how many neighbours a point keeps, from 1 to one less than the points of a group.
        seed: of PCA and t-SNE. It hardly matters: t-SNE starts from the principal components.

    Raises:
        UserError: an impossible perplexity, or features that are all the same or not finite.
    """
    features = points.features
    groups, n, width = features.shape
    check_perplexity(perplexity, n)
    parts = {"all groups": features.reshape(groups * n, width)}
    parts |= {f"group {i}": each for i, each in enumerate(features, start=1)}
    planes = []
    for name, part in parts.items():
        yield f"t-SNE of {name}"
        planes.append(_embed(part, name, perplexity, seed))
    return Planes(planes[0], np.stack(planes[1:]), perplexity)


def _embed(features: np.ndarray, name: str, perplexity: float, seed: int) -> np.ndarray:
    """Lay out N x F as N x 2."""
    # Imported here because it takes a second that the page does not have when it opens.
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from sklearn.preprocessing import StandardScaler

    if not np.isfinite(features).all() or (features == features[0]).all():
        raise UserError(f"The anchor prompts of {name} are all the same, or not finite: there is nothing to lay out.")
    standard = StandardScaler().fit_transform(features)
    components = PCA(min(_COMPONENTS, *standard.shape), random_state=seed).fit_transform(standard)
    plane: np.ndarray = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(components)
    return plane


def separate_planes(points: Points, planes: Planes, **settings: int) -> Separations:
    """Measure what the eye sees: as `separate`, in the planes and with the distances drawn, not standardised."""
    return separate_as(planes.all, planes.single, points, standardise=False, **settings)
