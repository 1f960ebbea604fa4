"""The nearest points are those of a brute-force search among standardised features."""

import numpy as np

from analysis.anchors.neighbours import nearest


def test_nearest_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 7)) * np.array([1, 100, 0.01, 5, 1, 1, 1])  # no column outweighs the others
    standard = (features - features.mean(0)) / features.std(0)
    for index in (0, 17, 59):
        distances = np.linalg.norm(standard - standard[index], axis=1)
        assert nearest(features, index, 6) == [int(i) for i in np.argsort(distances)[1:7]]


def test_a_point_is_never_its_own_neighbour() -> None:
    same = np.ones((4, 3))
    for index in range(4):
        found = nearest(same, index, 9)
        assert sorted([*found, index]) == [0, 1, 2, 3]
