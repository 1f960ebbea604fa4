"""Images as points: means, rows and draws by hand, and labels that stay with their images."""

from pathlib import Path

import numpy as np
import pytest

from analysis.anchors.collect import CollectedPrompts, Prompts
from analysis.anchors.image_folders import ImageSet
from analysis.anchors.points import make_points
from promptsr.config import ModelConfig
from promptsr.support.errors import ConfigError

GROUPS, CHANNELS = 2, 3
GRIDS = np.array([[2, 2], [2, 3], [0, 0], [2, 2]])  # the third cannot be read


def collection(skipped: tuple[str, ...], grids: np.ndarray = GRIDS) -> CollectedPrompts:
    """Four images of two categories with random prompts."""
    images = ImageSet(Path("x"), ("a/0", "a/1", "b/0", "b/1"), (0, 0, 1, 1), ("a", "b"))
    offsets = np.concatenate([[0], grids.prod(1).cumsum()])
    rows = np.random.default_rng(0).normal(size=(offsets[-1], GROUPS, CHANNELS)).astype(np.float32)
    prompts = {name: Prompts(name, ModelConfig(), rows * sign, offsets, grids) for name, sign in (("p", 1), ("q", -1))}
    return CollectedPrompts(images, prompts, None, dict.fromkeys(skipped, "broken"), 0.0)


def test_mean_over_the_anchors() -> None:
    collected = collection(("b/0",))
    points = make_points(collected, "p")
    rows = np.asarray(collected.prompts["p"].rows)
    for group in range(GROUPS):
        by_hand = [rows[a:b, group].sum(0) / (b - a) for a, b in ((0, 4), (4, 10), (10, 14))]
        np.testing.assert_allclose(points.features[group], by_hand, rtol=0, atol=1e-6)
    assert points.features.dtype == np.float32 and points.features.shape == (GROUPS, 3, CHANNELS)
    assert points.images.tolist() == [0, 1, 2] and points.categories.tolist() == [0, 0, 1]
    assert points.files == ("a/0", "a/1", "b/1") and points.names == ("a", "b")
    np.testing.assert_array_equal(make_points(collected, "q").features, -points.features)


def test_flattened_rows() -> None:
    collected = collection(("a/1", "b/0"))
    points = make_points(collected, "p", "flattened")
    rows = np.asarray(collected.prompts["p"].rows)
    assert points.features.shape == (GROUPS, 2, 4 * CHANNELS)
    np.testing.assert_array_equal(points.features[1, 0], np.concatenate([rows[i, 1] for i in range(4)]))
    np.testing.assert_array_equal(points.features[0, 1], np.concatenate([rows[i, 0] for i in range(10, 14)]))
    assert points.files == ("a/0", "b/1") and points.categories.tolist() == [0, 1]


def test_flattened_images_of_several_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="a/0 has 2 x 2 anchors and a/1 3 x 2"):
        make_points(collection(("b/0",)), "p", "flattened")
    turned = np.array([[2, 3], [2, 3], [3, 2], [2, 3]])  # as many anchors in another shape
    with pytest.raises(ConfigError, match="a/0 has 3 x 2 anchors and b/0 2 x 3"):
        make_points(collection((), turned), "p", "flattened")


def test_every_anchor_is_a_point() -> None:
    collected = collection(("b/0",))
    points = make_points(collected, "p", "anchors")
    np.testing.assert_array_equal(points.features, np.asarray(collected.prompts["p"].rows).transpose(1, 0, 2))
    assert points.images.tolist() == [0] * 4 + [1] * 6 + [2] * 4
    assert points.categories.tolist() == [0] * 10 + [1] * 4


@pytest.mark.parametrize(("limit", "each"), [(23, 5), (20, 5), (1, 1)])
def test_anchors_are_drawn_by_image(limit: int, each: int) -> None:
    collected = collection((), np.array([[5, 5]] * 4))
    points, again, other = (
        make_points(collected, variant, "anchors", limit=limit, seed=seed)
        for variant, seed in (("p", 0), ("q", 0), ("p", 1))
    )
    assert np.bincount(points.images).tolist() == [each] * 4
    np.testing.assert_array_equal(again.features, -points.features)  # the same anchors of every variant
    assert not np.array_equal(other.features, points.features)
    draws = []
    for image in range(4):
        rows = collected.prompts["p"].of_image(image)
        drawn = points.features[:, points.images == image].transpose(1, 0, 2)
        draws.append(tuple(int(np.flatnonzero((rows == row).all((1, 2)))[0]) for row in drawn))
        assert list(draws[-1]) == sorted(set(draws[-1]))  # none twice, and both groups have the same
    assert len(set(draws)) == 4  # every image has a draw of its own


def test_unknown_ways_are_refused() -> None:
    with pytest.raises(ConfigError, match="mean, flattened, anchors, not by 'median'"):
        make_points(collection(()), "p", "median")
