"""Agreement of label maps with superpixels: planted, by chance, by hand; and what is called a finding."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data
from skimage.segmentation import slic
from torch import Tensor

from analysis.ablations.networks import fresh
from analysis.attention.categories import CategoryMap, CategoryMaps, categories, shuffle
from analysis.attention.superpixels import (
    UNTRAINED,
    SuperpixelStudy,
    agreement,
    superpixel_steps,
    superpixel_study,
    superpixels,
)
from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
from promptsr.support.errors import UserError
from promptsr.support.progress import finish

CONFIG = ModelConfig(scale=2, channels=8, groups=1, blocks_per_group=2, window_size=8, category_size=16, heads=2)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return data.astronaut()[0:192:4, 150:342:3].astype(np.float32) / 255  # 48 x 64


@pytest.fixture(scope="module")
def image(photo: np.ndarray) -> Tensor:
    return torch.from_numpy(photo).permute(2, 0, 1)[None]


@pytest.fixture(scope="module")
def study(image: Tensor) -> SuperpixelStudy:
    return superpixel_study(fresh(CONFIG, seed=7), image)


def test_superpixels_are_those_of_scikit_image(photo: np.ndarray) -> None:
    np.testing.assert_array_equal(superpixels(photo, 30), slic(photo, n_segments=30) - 1)  # labels from 0
    for segments in (1, 48 * 64 + 1):
        with pytest.raises(UserError, match="must lie between 2 and 3072"):
            superpixels(photo, segments)


def test_it_can_be_stopped_after_each_network(image: Tensor, study: SuperpixelStudy) -> None:
    steps: list[None] = []
    found = finish(superpixel_steps(fresh(CONFIG, seed=7), image), steps.append)
    assert len(steps) == 1 + UNTRAINED and found.table.equals(study.table)


def test_planted_agreement_is_found_and_its_absence(photo: np.ndarray) -> None:
    segments = superpixels(photo, 40)
    same = agreement((segments * 7) % 1009, segments)  # other names
    assert (same.ari, same.asa, same.boundary_recall, same.boundary_precision) == (1, 1, 1, 1)
    assert (same.nmi, same.homogeneity) == pytest.approx((1, 1))
    chance = agreement(shuffle(segments), segments)
    assert abs(chance.ari) < 0.005 and chance.nmi < 0.2 and chance.asa < 0.2
    # Two large categories along superpixels: nothing but the sizes is wrong.
    merged = agreement(segments % 2, segments)
    assert merged.homogeneity == pytest.approx(1) and merged.asa == 1 and merged.ari < 0.1


def test_agreement_by_hand() -> None:
    segments = np.repeat([[0, 0, 0, 1, 1, 1]], 4, axis=0)
    labels = np.repeat([[0, 0, 0, 0, 0, 1]], 4, axis=0)
    found = agreement(labels, segments)
    assert found.asa == pytest.approx(5 / 6)  # in the second superpixel label 0 has 2 of 3
    pairs = [(a, b) for a in range(24) for b in range(a)]
    together = [[values.ravel()[a] == values.ravel()[b] for a, b in pairs] for values in (labels, segments)]
    both = float(sum(a and b for a, b in zip(*together, strict=True)))
    mine, theirs = (float(sum(each)) for each in together)
    expected = mine * theirs / len(pairs)
    assert found.ari == pytest.approx((both - expected) / ((mine + theirs) / 2 - expected))
    own = -(5 / 6 * math.log(5 / 6) + 1 / 6 * math.log(1 / 6))
    left = 0.5 * -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3))
    assert found.homogeneity == pytest.approx(1 - left / own)
    assert found.nmi == pytest.approx((own - left) / ((own + math.log(2)) / 2))
    # Borders: columns 2 and 3 of the superpixels, 4 and 5 of the labels; only 3 and 4 are neighbours.
    assert (found.boundary_recall, found.boundary_precision) == (0.5, 0.5)
    single = agreement(np.zeros((4, 6), int), segments)
    assert single.ari == 0 and single.boundary_recall == 0
    assert math.isnan(single.homogeneity) and math.isnan(single.boundary_precision)


def test_table_holds_the_network_and_its_controls(study: SuperpixelStudy, image: Tensor, photo: np.ndarray) -> None:
    table = study.table
    assert table[["group", "block", "kind"]].values.tolist() == [[1, b, k] for b in (1, 2) for k in ("coarse", "fine")]
    segments = superpixels(photo, 48)  # 6 x 8 anchors
    np.testing.assert_array_equal(study.segments, segments)
    untrained = [categories(fresh(CONFIG, seed), image) for seed in range(3)]
    for row, found in zip(table.itertuples(), study.maps.maps, strict=True):
        assert row.ari_slic == agreement(found.labels, segments).ari
        assert abs(row.ari_slic_shuffled) < 0.01
        assert row.asa_slic_grid == agreement(study.maps.plain_grid, segments).asa > 0.3
    expected = np.mean([agreement(maps.maps[2].labels, segments).ari for maps in untrained])
    assert table["ari_slic_untrained"][2] == pytest.approx(expected)
    for mean, maps in zip(study.untrained_means, untrained, strict=True):
        assert mean == pytest.approx(np.mean([agreement(each.labels, segments).ari for each in maps.maps]))


def imagined(ours: np.ndarray, theirs: np.ndarray, segments: np.ndarray) -> SuperpixelStudy:
    """A study of planted maps."""

    def maps(labels: np.ndarray) -> CategoryMaps:
        both = (CategoryMap(1, 1, "coarse", labels), CategoryMap(1, 1, "fine", labels))
        return CategoryMaps(TokenGrid(CONFIG, *labels.shape), both)

    return SuperpixelStudy(maps(ours), (maps(theirs), maps(shuffle(theirs))), segments)


def test_only_what_random_weights_lack_is_a_finding(photo: np.ndarray) -> None:
    segments = superpixels(photo, 48)
    squares = imagined(segments, segments, segments).maps.plain_grid
    half = np.where(np.indices(squares.shape)[1] < 8, squares, 0)
    assert imagined(segments, squares, segments).finding.startswith("On this image the categories agree")
    assert "and more than the plain anchor grid" in imagined(segments, squares, segments).finding
    assert "but no more than the plain anchor grid" in imagined(half, shuffle(half), segments).finding
    lost = imagined(squares, segments, segments).finding
    assert lost.startswith("No finding: categories of untrained networks agree") and "up to 1.000" in lost
    assert imagined(segments, segments, segments).finding.startswith("No finding")


def test_results_are_plain(study: SuperpixelStudy) -> None:
    result = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert (result["width"], result["height"], result["anchors"]) == (64, 48, [6, 8])
    assert result["superpixels"] == len(np.unique(study.segments)) and len(result["maps"]) == 4
    assert result["maps"][1]["sizes"] == study.maps.maps[1].largest_first[1].tolist()
    assert [len(result[name]) for name in ("between", "within")] == [2, 2]
    alone = imagined(np.zeros((48, 64), int), study.segments, study.segments)
    assert alone.to_dict()["maps"][0]["homogeneity_slic"] is None


def test_the_control_is_the_mean_where_it_is_defined(study: SuperpixelStudy) -> None:
    """A network that puts all pixels into one category has no homogeneity; the others still have a mean."""
    one = study.maps
    flat = replace(one, maps=tuple(replace(each, labels=np.zeros_like(each.labels)) for each in one.maps))
    mixed = replace(study, untrained=(one, flat))
    np.testing.assert_allclose(mixed.table["homogeneity_slic_untrained"], mixed.table["homogeneity_slic"])
