"""Do labelled points separate by their labels? Silhouette, k nearest neighbours with a permutation test, linear probe.

Points of one image hang together, whatever their labels. What may be exchanged under the null hypothesis, and what may
be a neighbour, follows from the images (`separation`).
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analysis.anchors.points import Points
from promptsr.support.errors import UserError

NEIGHBOURS = 5
PERMUTATIONS = 999
_SILHOUETTE_POINTS = 10_000
_PROBE_FEATURES = 256
_FOLDS = 5
_WORKING_MEMORY = 128  # MiB of distances at a time


@dataclass(frozen=True)
class Separation:
    """Measures of separation by label. All but silhouette and p_value are shares of the points, in [0, 1]."""

    silhouette: float
    """Mean silhouette coefficient, in [-1, 1]."""
    knn: float
    """Leave-one-out accuracy of the vote of the k nearest neighbours."""
    chance: float
    """Share of the largest class: the accuracy of always naming it."""
    p_value: float
    """p-value of `knn`: (1 + permutations of the labels with as much or more) / (1 + permutations)."""
    low: float
    """Lower end of the central 95 % of `knn` under permuted labels. It may all lie below `chance`: a point that is
    left out leaves fewer of its own label behind."""
    high: float
    """Upper end."""
    probe: float | None
    """Cross-validated accuracy of a linear probe; None if a label occurs in one image only."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Separations:
    """Separation of anchor prompts by residual group, and within every group by the category of their image."""

    groups: Separation
    categories: tuple[Separation, ...]
    """One for each residual group."""

    @property
    def by_question(self) -> dict[str, Separation]:
        """All separations by name: `residual groups`, `categories at group 1`, and so on."""
        categories = {f"categories at group {i}": each for i, each in enumerate(self.categories, start=1)}
        return {"residual groups": self.groups, **categories}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; groups are counted from 1."""
        numbered = [{"group": i, **each.to_dict()} for i, each in enumerate(self.categories, start=1)]
        return {"groups": self.groups.to_dict(), "categories": numbered}


def separation(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    k: int = NEIGHBOURS,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    images: np.ndarray | None = None,
    standardise: bool = True,
) -> Separation:
    """Measure how well points separate by label.

    The points of one image with one label are a block: permuting labels moves them together. If no image has more
    than one label (categories), labels are permuted among all blocks; otherwise (residual groups) among the blocks of
    each image, for only those are exchangeable. If no block has more than one point, every other point may be a
    neighbour: plain leave-one-out. Otherwise the whole image of a point is left out, or its own labels would be voted
    for by pieces of itself. The probe is tested on images that it was not trained on. Only the silhouette
    (Rousseeuw, 1987) knows no images; beyond 10 000 points it is that of a random 10 000.

    Args:
        features: N x F.
        labels: N.
        k: neighbours that vote, by Euclidean distance; of labels with equally many votes the nearest neighbour's wins.
        permutations: of the labels; the neighbours stay.
        seed: of the permutations, the folds and the sample.
        images: N, which image a point comes from; each its own if None.
        standardise: brings columns to mean 0 and standard deviation 1; constant ones become 0.

    Raises:
        UserError: fewer than two labels, all labels different, too few points or images for k, or values that are not
            finite.
    """
    label, image = _checked(features, labels, images, k, permutations)
    points = _standardised(features) if standardise else features
    pairs, block = np.unique(np.stack([image, label], axis=1), axis=0, return_inverse=True)
    one_label_each = len(pairs) == image.max() + 1
    crowded = len(pairs) < len(label)
    own = image if crowded else np.arange(len(label))
    if len(label) - np.bincount(own).max() < k:
        raise UserError(f"Without its own image, a point has fewer than {k} others: take more images, or a smaller k.")

    neighbours = _neighbours(points, own, k)
    strata = np.zeros(len(pairs)) if one_label_each else pairs[:, 0]
    rng = np.random.default_rng(seed)
    orders = (np.lexsort((rng.random(len(pairs)), strata)) for _ in range(permutations))  # of blocks, within strata
    observed = _accuracy(neighbours, label)
    null = np.array([_accuracy(neighbours, pairs[order, 1][block]) for order in orders])
    low, high = np.quantile(null, [0.025, 0.975])
    return Separation(
        silhouette=_silhouette(points, label, seed),
        knn=observed,
        chance=float(np.bincount(label).max() / len(label)),
        p_value=float((1 + (null >= observed).sum()) / (1 + permutations)),
        low=float(low),
        high=float(high),
        probe=_probe(points, label, image, seed),
    )


def separate(points: Points, **settings: int) -> Separations:
    """Measure anchor prompts in feature space, standardised: all by residual group, those of each group by category.

    `settings` are `k`, `permutations` and `seed` of `separation`, whose errors it raises.
    """
    features = points.features
    together = features.reshape(-1, features.shape[-1])  # groups x N x F -> (groups N) x F
    return separate_as(together, features, points, standardise=True, **settings)


def separate_as(
    together: np.ndarray, single: np.ndarray, points: Points, *, standardise: bool, **settings: int
) -> Separations:
    """Measure `together` ((groups N) x F, group by group) by residual group, each of `single` (groups x N x F) by
    category; `settings` as in `separate`."""
    groups, n = single.shape[:2]
    labels, images = np.repeat(np.arange(groups), n), np.tile(points.images, groups)
    by_group = separation(together, labels, images=images, standardise=standardise, **settings)
    by_category = (
        separation(each, points.categories, images=points.images, standardise=standardise, **settings)
        for each in single
    )
    return Separations(by_group, tuple(by_category))


def nearest(features: np.ndarray, index: int, k: int) -> list[int]:
    """Return the indices of the k nearest points of point `index`, or of all others if there are fewer, nearest first.

    Distances are Euclidean, of standardised features, N x F.
    """
    from sklearn.neighbors import NearestNeighbors

    points = _standardised(features)
    k = min(k, len(points) - 1)
    _, found = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points[index : index + 1])
    return [int(i) for i in found[0] if i != index][:k]


# scikit-learn is imported where it is used: it takes a second that the page does not have when it opens.
def _standardised(features: np.ndarray) -> np.ndarray:
    from sklearn.preprocessing import StandardScaler

    standard: np.ndarray = StandardScaler().fit_transform(features)
    return standard


def _checked(
    features: np.ndarray, labels: np.ndarray, images: np.ndarray | None, k: int, permutations: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return label and image of every point, both numbered from 0."""
    if k < 1 or permutations < 1:
        raise UserError(f"k and permutations must be 1 or more, not {k} and {permutations}.")
    if len(labels) < k + 1:
        raise UserError(f"{k} neighbours need {k + 1} points or more, not {len(labels)}: take more images.")
    if not np.isfinite(features).all():
        raise UserError("Some features are not finite: the network does not work on these images.")
    names, label = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise UserError("All points have one label: there must be two or more to tell apart.")
    if len(names) == len(label):
        raise UserError("Every point has a label of its own: take more images of each category.")
    return label, np.arange(len(label)) if images is None else np.unique(images, return_inverse=True)[1]


def _neighbours(points: np.ndarray, own: np.ndarray, k: int) -> np.ndarray:
    """Return the k nearest points of another `own`, nearest first: N x k."""
    from sklearn.metrics import pairwise_distances_chunked

    def nearest(distances: np.ndarray, start: int) -> np.ndarray:
        distances[own[start : start + len(distances), None] == own] = np.inf
        found = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, found, axis=1), axis=1, kind="stable")
        return np.take_along_axis(found, order, axis=1)

    chunks = pairwise_distances_chunked(points, reduce_func=nearest, working_memory=_WORKING_MEMORY)
    return np.concatenate(list(chunks))


def _accuracy(neighbours: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of points whose neighbours (N x k) vote for their own label."""
    votes = labels.astype(np.int16)[neighbours]
    support = (votes[:, :, None] == votes[:, None, :]).sum(axis=2, dtype=np.int16)  # N x k: voters for the same label
    winner = support.argmax(axis=1)  # the first of equals, hence the nearest
    return float((votes[np.arange(len(votes)), winner] == labels).mean())


def _silhouette(points: np.ndarray, labels: np.ndarray, seed: int) -> float:
    from sklearn import config_context
    from sklearn.metrics import silhouette_score
    from sklearn.utils import resample

    if len(points) > _SILHOUETTE_POINTS:
        points, labels = resample(
            points, labels, replace=False, n_samples=_SILHOUETTE_POINTS, stratify=labels, random_state=seed
        )
    with config_context(working_memory=_WORKING_MEMORY):
        return float(silhouette_score(points, labels))


def _probe(points: np.ndarray, labels: np.ndarray, images: np.ndarray, seed: int) -> float | None:
    """Return the accuracy of logistic regression (L2) on standardised features, or on 256 principal components."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

    _, images_with_label = np.unique(np.unique([labels, images], axis=1)[0], return_counts=True)
    folds = min(_FOLDS, *images_with_label.tolist())
    if folds < 2:
        return None
    standard = _standardised(points)
    if min(points.shape) > _PROBE_FEATURES:
        standard = PCA(_PROBE_FEATURES, random_state=seed).fit_transform(standard)
    regression = LogisticRegression(max_iter=1000)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return float(cross_val_score(regression, standard, labels, groups=images, cv=split).mean())
