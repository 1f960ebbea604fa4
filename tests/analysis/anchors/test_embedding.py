"""t-SNE planes: planted clusters stay together, absence stays absent, a seed decides everything."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import spearmanr

from analysis.anchors.embedding import Planes, embed, separate_planes
from analysis.anchors.points import Points
from promptsr.support.errors import UserError
from promptsr.support.progress import finish


def planted(groups: float, categories: float, n: int = 40, width: int = 60) -> Points:
    """Three groups of four categories, with centres this far apart by the noise."""
    rng = np.random.default_rng(0)
    category = np.arange(n) % 4
    features = rng.normal(size=(3, n, width)) + groups * rng.normal(size=(3, 1, width))
    features += categories * rng.normal(size=(4, width))[category]
    files = tuple(f"{i}.png" for i in range(n))
    return Points(features.astype(np.float32), np.arange(n), category, tuple("abcd"), files)


def layout(points: Points, perplexity: float = 8, seed: int = 0) -> Planes:
    return finish(embed(points, perplexity, seed))


def test_planted_clusters_are_apart_in_the_planes() -> None:
    points = planted(groups=4, categories=0)
    told: list[str] = []
    planes = finish(embed(points, 8, 3), told.append)
    assert planes.all.shape == (120, 2) and planes.single.shape == (3, 40, 2) and planes.perplexity == 8
    centres = planes.all.reshape(3, 40, 2).mean(axis=1)  # first all points of group 1
    assert (cdist(planes.all, centres).argmin(axis=1) == np.repeat([0, 1, 2], 40)).all()
    assert told == [f"t-SNE of {part}" for part in ("all groups", "group 1", "group 2", "group 3")]
    found = separate_planes(points, planes, permutations=99)
    assert found.groups.knn == 1 and found.groups.silhouette > 0.7 and found.groups.p_value == pytest.approx(0.01)
    assert all(each.p_value > 0.01 and each.knn < 0.6 for each in found.categories)


def test_categories_are_apart_in_every_single_plane() -> None:
    points = planted(groups=0, categories=4)
    found = separate_planes(points, layout(points), permutations=99)
    assert [each.knn for each in found.categories] == [1, 1, 1]
    assert found.groups.knn < 0.6


def test_distances_of_a_structure_in_the_plane_stay_in_order() -> None:
    rng = np.random.default_rng(1)
    line = np.linspace(0, 30, 40)[None, :, None] * np.ones(20) + rng.normal(size=(2, 40, 20)) * 0.1
    points = Points(line.astype("f4"), np.arange(40), np.zeros(40, int), ("a",), tuple(map(str, range(40))))
    plane = layout(points).single[0]
    along = [np.linalg.norm(plane[i] - plane[0]) for i in range(40)]
    assert spearmanr(along, np.arange(40)).statistic > 0.9


def test_the_unit_of_a_feature_has_no_say() -> None:
    points = planted(groups=2, categories=1)
    units = np.array([1.0, 1024.0] * 30, dtype=np.float32)
    scaled = replace(points, features=points.features * units)
    np.testing.assert_allclose(layout(points).all, layout(scaled).all, atol=0.5)


def test_planes_are_the_same_every_time() -> None:
    points = planted(groups=1, categories=1)
    first, again = layout(points), layout(points)
    assert np.array_equal(first.all, again.all) and np.array_equal(first.single, again.single)
    assert not np.array_equal(first.all, layout(points, perplexity=5).all)
    assert np.isfinite(layout(planted(1, 1, n=3), perplexity=2).single).all()  # the smallest set


@pytest.mark.parametrize(
    ("perplexity", "change", "says"),
    [
        (40, {}, "from 1 to 39"),
        (0.5, {}, "from 1 to 39"),
        (float("nan"), {}, "from 1 to 39"),
        (5, {"features": np.ones((3, 40, 6))}, "all the same"),
        (5, {"features": np.full((3, 40, 6), np.inf)}, "not finite"),
        (5, {"features": np.ones((3, 1, 6))}, "more images"),
    ],
)
def test_refusals(perplexity: float, change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        layout(replace(planted(1, 1), **change), perplexity)


def test_planes_are_measured_as_they_are_drawn() -> None:
    points = planted(1, 1)
    rng = np.random.default_rng(5)
    wide = rng.uniform(-1000, 1000, size=(3, 40))  # means nothing, and decides who is near
    flat = np.stack([wide, wide * 0 + points.categories], axis=2)
    found = separate_planes(points, Planes(flat.reshape(120, 2), flat, 8), permutations=19)
    assert all(each.knn < 0.6 for each in found.categories)
