"""Separation against brute force, scikit-learn, all permutations one by one, and planted structure."""

import json
import tracemalloc
from collections import Counter
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import kstest
from sklearn.datasets import make_blobs
from sklearn.metrics import silhouette_samples
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from analysis.anchors.points import Points
from analysis.anchors.separation import nearest, separate, separation
from promptsr.support.errors import UserError


def brute_force(points: np.ndarray, labels: np.ndarray, own: np.ndarray, k: int) -> float:
    """k-NN accuracy, point by point; among labels with equally many votes the one of the nearest neighbour wins."""
    right = 0
    for i in range(len(points)):
        others = [j for j in range(len(points)) if own[j] != own[i]]
        nearest = sorted(others, key=lambda j: float(np.linalg.norm(points[i] - points[j])))[:k]
        votes = Counter(labels[j] for j in nearest)
        right += next(labels[j] for j in nearest if votes[labels[j]] == max(votes.values())) == labels[i]
    return right / len(points)


@given(st.integers(0, 10_000), st.integers(8, 24), st.integers(2, 5), st.integers(1, 7))
def test_knn_is_that_of_brute_force(seed: int, n: int, classes: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    points, labels = rng.normal(size=(n, 3)), np.arange(n) % classes
    found = separation(points, labels, k=k, permutations=1, standardise=False)
    assert found.knn == pytest.approx(brute_force(points, labels, np.arange(n), k))
    assert found.chance == pytest.approx(max(Counter(labels.tolist()).values()) / n)
    assert 0 <= found.low <= found.high <= 1 and 0 < found.p_value <= 1


@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_scikit_learn_on_standardised_features(k: int) -> None:
    rng = np.random.default_rng(k)
    labels = rng.permutation(np.arange(90) % 2)  # two labels and an odd k: no ties
    features = rng.normal(size=(90, 6)) * [1, 10, 100, 1, 1, 0] + 0.8 * labels[:, None]
    features[:, 5] = 7  # constant
    standard = StandardScaler().fit_transform(features)
    found = separation(features, labels, k=k, permutations=9)
    classifier = KNeighborsClassifier(k, algorithm="brute")
    assert found.knn == pytest.approx(cross_val_score(classifier, standard, labels, cv=LeaveOneOut()).mean())
    assert found.silhouette == pytest.approx(silhouette_samples(standard, labels).mean(), abs=1e-6)
    raw = separation(features, labels, k=k, permutations=9, standardise=False)
    assert raw.silhouette == pytest.approx(silhouette_samples(features, labels).mean(), abs=1e-6)


def of_images(labels: np.ndarray, images: np.ndarray) -> set[tuple[int, ...]]:
    """All labels after an exchange of the labels of whole images."""
    first = [labels[images == image][0] for image in range(images.max() + 1)]
    return {tuple(np.array(order)[images].tolist()) for order in permutations(first)}


def within_images(labels: np.ndarray, images: np.ndarray) -> set[tuple[int, ...]]:
    """All labels after exchanges between the points of one image, which stand together."""
    exchanged = (permutations(labels[images == image]) for image in range(images.max() + 1))
    return {tuple(np.concatenate(orders).tolist()) for orders in product(*exchanged)}


@pytest.mark.parametrize("design", ["one point an image", "a point of every label an image", "one label an image"])
def test_p_value_is_that_of_all_permutations(design: str) -> None:
    rng = np.random.default_rng(4)
    if design == "a point of every label an image":
        labels, images, k = np.tile([0, 1], 5), np.repeat(np.arange(5), 2), 3
        own, possible = np.arange(10), within_images(labels, images)
    else:
        each = 1 if design == "one point an image" else 3
        labels, images, k = np.repeat([0, 0, 0, 1, 1, 1], each), np.repeat(np.arange(6), each), 3
        own, possible = images, of_images(labels, images)
    for shift in (0.5, 1.0, 1.5):
        points = rng.normal(size=(len(labels), 2)) + shift * labels[:, None]
        found = separation(points, labels, images=images, k=k, permutations=3000, standardise=False)
        observed = brute_force(points, labels, own, k)
        every = np.array([brute_force(points, np.array(other), own, k) for other in possible])
        exact = (every >= observed - 1e-12).mean()
        assert found.knn == pytest.approx(observed)
        assert found.p_value == pytest.approx(exact, abs=0.04)
        assert every.min() <= found.low <= found.high <= every.max()


def test_clusters_are_found() -> None:
    features, labels = make_blobs([40] * 4, n_features=8, center_box=(-40, 40), random_state=0)
    found = separation(features, labels, permutations=99)
    assert found.silhouette > 0.9 and found.knn == 1 and found.probe == 1
    assert found.p_value == pytest.approx(1 / 100) and found.chance == 0.25
    shuffled = separation(features, np.random.default_rng(0).permutation(labels), permutations=99)
    assert shuffled.low <= shuffled.knn <= shuffled.high and shuffled.p_value > 0.05
    assert abs(shuffled.silhouette) < 0.1
    assert (shuffled.probe or 1) < 0.4


def test_probe_sees_what_a_plane_can_split() -> None:
    rng = np.random.default_rng(0)
    score = rng.normal(size=400)
    features = rng.normal(size=(400, 300)) + score[:, None]  # more than 256 columns
    split = (score > 0).astype(int)
    assert (separation(features, split, permutations=1).probe or 0) > 0.9
    ring = (np.abs(features[:, 0]) > np.median(np.abs(features[:, 0]))).astype(int)
    assert (separation(features[:, :2], ring, permutations=1).probe or 1) < 0.65
    assert separation(features[:12], np.array([0] * 11 + [1]), permutations=1).probe is None


def test_p_values_of_noise_are_uniform() -> None:
    rng = np.random.default_rng(1)
    within, whole = [], []
    for seed in range(50):
        image = rng.normal(size=(30, 1, 3))
        # The points of an image lie together, whatever their group
        points = (image + 0.3 * rng.normal(size=(30, 4, 3))).reshape(-1, 3)
        images = np.repeat(np.arange(30), 4)
        groups = np.concatenate([rng.permutation(4) for _ in range(30)])
        categories = rng.permutation(np.arange(30) % 3)[images]
        within.append(separation(points, groups, images=images, permutations=59, seed=seed).p_value)
        whole.append(separation(points, categories, images=images, permutations=59, seed=seed).p_value)
    for found in (within, whole):
        assert kstest(found, "uniform").pvalue > 0.01
        assert 0.4 < np.mean(found) < 0.6


def test_a_point_is_not_voted_for_by_its_own_image() -> None:
    rng = np.random.default_rng(2)
    images = np.repeat(np.arange(60), 8)
    features = rng.normal(size=(60, 5))[images]  # all anchors of an image are the same
    categories = rng.permutation(np.arange(60) % 4)[images]
    naive = separation(features, categories, permutations=99)
    assert naive.knn == 1 and naive.p_value == pytest.approx(0.01) and naive.probe is not None
    found = separation(features, categories, images=images, permutations=99)
    assert found.low <= found.knn <= found.high and found.p_value > 0.05
    assert found.probe is not None and found.probe < 0.4 < naive.probe


def test_groups_and_categories_of_points() -> None:
    rng = np.random.default_rng(3)
    categories = np.arange(50) % 5
    features = rng.normal(size=(3, 50, 10)) + 8 * rng.normal(size=(3, 1, 10))
    features[2] += 4 * rng.normal(size=(5, 10))[categories]
    points = Points(features.astype("f4"), np.arange(50), categories, tuple("abcde"), tuple(map(str, range(50))))
    found = separate(points, permutations=99)
    assert found.groups.knn == 1 and found.groups.chance == pytest.approx(1 / 3)
    assert [each.chance for each in found.categories] == [0.2] * 3
    assert found.categories[0].p_value > 0.05 and found.categories[1].p_value > 0.05
    assert found.categories[2].knn > 0.9 and found.categories[2].p_value == pytest.approx(0.01)
    values = json.loads(json.dumps(found.to_dict()))
    assert [each["group"] for each in values["categories"]] == [1, 2, 3]
    assert values["groups"]["knn"] == 1 and values["categories"][2]["knn"] == found.categories[2].knn
    assert separate(points, permutations=99) == found


def test_many_points_keep_to_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.anchors.separation._SILHOUETTE_POINTS", 1000)
    monkeypatch.setattr("analysis.anchors.separation._WORKING_MEMORY", 1)
    features, labels = make_blobs([1900, 100], n_features=2, centers=[[-3, 0], [3, 0]], random_state=0)
    tracemalloc.start()
    found = separation(features, labels, permutations=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.3 * 8 * 2000**2  # bytes of all distances
    standard = StandardScaler().fit_transform(features)
    every = silhouette_samples(standard, labels).mean()
    assert found.silhouette != pytest.approx(every, abs=1e-9) and found.silhouette == pytest.approx(every, abs=0.03)
    distances = cdist(standard, standard)
    np.fill_diagonal(distances, np.inf)
    votes = labels[np.argsort(distances, axis=1)[:, :5]].sum(axis=1)  # of two labels: no ties
    assert found.knn == pytest.approx(((votes > 2.5) == labels).mean())


@pytest.mark.parametrize(
    ("features", "labels", "settings", "says"),
    [
        (np.eye(9), np.zeros(9), {}, "one label"),
        (np.eye(9), np.arange(9), {}, "label of its own"),
        (np.eye(9), np.arange(9) % 2, {"k": 9}, "10 points or more, not 9"),
        (np.full((9, 2), np.nan), np.arange(9) % 2, {}, "not finite"),
        (np.eye(9), np.arange(9) % 2, {"permutations": 0}, "1 or more"),
        (np.eye(9), np.arange(9) % 2, {"k": 0}, "1 or more"),
        (np.eye(9), np.repeat([0, 1, 0], 3), {"images": np.repeat([0, 1, 1], [5, 2, 2])}, "fewer than 5 others"),
    ],
)
def test_refusals(features: np.ndarray, labels: np.ndarray, settings: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        separation(features, labels, **settings)  # type: ignore[arg-type]


def test_nearest_equals_brute_force() -> None:
    features = np.random.default_rng(0).normal(size=(60, 7)) * np.array([1, 100, 0.01, 5, 1, 1, 1])
    standard = (features - features.mean(0)) / features.std(0)  # no column outweighs the others
    for index in (0, 17, 59):
        distances = np.linalg.norm(standard - standard[index], axis=1)
        assert nearest(features, index, 6) == np.argsort(distances)[1:7].tolist()
    for index in range(4):  # a point is never its own neighbour
        assert sorted([*nearest(np.ones((4, 3)), index, 9), index]) == [0, 1, 2, 3]
