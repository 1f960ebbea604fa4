"""Nearest anchor prompts of a given one: the neighbours that vote in the numbers of `separation`."""

import numpy as np
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler


def nearest(features: np.ndarray, index: int, k: int) -> list[int]:
    """The k nearest points of one point, the nearest first, by Euclidean distance of standardised features.

    Args:
        features: N x F.
        index: of the point, from 0.
        k: fewer if there are fewer other points.
    """
    points = StandardScaler().fit_transform(features)
    k = min(k, len(points) - 1)
    _, found = NearestNeighbors(n_neighbors=k + 1).fit(points).kneighbors(points[index : index + 1])
    return [int(i) for i in found[0] if i != index][:k]
