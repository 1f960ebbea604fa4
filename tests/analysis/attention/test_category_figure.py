"""Colours that keep their meaning from map to map, and figures that show what they are given."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from analysis.ablations.networks import fresh
from analysis.attention.categories import CategoryMaps, categories
from analysis.attention.category_colors import category_colors, category_overlay
from analysis.attention.category_figure import draw_agreement, draw_categories, draw_mean_patches
from analysis.attention.receptive_field import ReceptiveField
from analysis.attention.receptive_field_figure import draw_receptive_fields
from analysis.attention.superpixels import SuperpixelStudy, superpixel_study
from analysis.tour.figure import draw_view
from analysis.tour.walk import walk
from promptsr.config import ModelConfig
from promptsr.imaging.picture import to_array
from tests.analysis.attention.conftest import noise

CONFIG = ModelConfig(scale=2, channels=8, groups=3, blocks_per_group=2, window_size=8, category_size=16, heads=2)


IMAGE = noise(24, 40)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return to_array(IMAGE)


@pytest.fixture(scope="module")
def study() -> SuperpixelStudy:
    return superpixel_study(fresh(CONFIG, seed=7), IMAGE)


@pytest.fixture(scope="module")
def maps(study: SuperpixelStudy) -> CategoryMaps:
    return study.maps


def axes_of(figure: Figure) -> list[Any]:
    return list(figure.axes)


@pytest.mark.parametrize(("rows", "columns"), [(3, 5), (8, 12), (12, 12), (1, 1), (1, 6), (17, 2)])
def test_every_anchor_has_its_own_colour_and_neighbours_similar_ones(rows: int, columns: int) -> None:
    anchors = np.arange(rows * columns).reshape(rows, columns)
    colors = category_colors(anchors, rows, columns)
    assert colors.shape == (rows, columns, 3) and 0 <= colors.min() <= colors.max() <= 1
    lab = rgb2lab(colors).reshape(-1, 3)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert apart[~np.eye(len(lab), dtype=bool)].min(initial=np.inf) > 2.3  # a just noticeable difference
    places = np.argwhere(anchors >= 0)
    far = np.abs(places[:, None] - places[None]).sum(2)
    neighbours = apart[far == 1]
    if len(neighbours):
        assert neighbours.min() > 8
    if min(rows, columns) > 2:
        for near, farther in pairwise([2, 4, 6]):
            assert apart[far == near].mean() < apart[far == farther].mean()


def test_a_category_looks_the_same_in_every_map(maps: CategoryMaps, photo: np.ndarray) -> None:
    grey = np.ones_like(photo) / 2
    seen: dict[int, np.ndarray] = {}
    for found in maps.maps:
        drawn = category_overlay(found.labels, maps.grid.anchor_grid, grey, zoom=1)
        for label in np.unique(found.labels):
            colors = np.unique(drawn[found.labels == label].round(6), axis=0)
            assert len(colors) == 1
            np.testing.assert_allclose(seen.setdefault(int(label), colors[0]), colors[0])
    assert len(seen) > 3


def test_a_tour_has_the_same_colours() -> None:
    # Windows of 16 pad 24 x 40 to 32 x 48: there are 4 x 6 anchors, and labels refer to these.
    network = fresh(replace(CONFIG, window_size=16), seed=7)
    maps, tour = categories(network, IMAGE), walk(network, IMAGE, group=1, block=1)
    assert maps.grid.anchor_grid == (4, 6)
    for found, box in zip(maps.maps[6:8], ("coarse", "fine"), strict=True):
        [axes] = axes_of(draw_view(tour.stops[box].views[0], tour))
        np.testing.assert_allclose(axes.images[1].get_array(), category_colors(found.labels, 4, 6))


def test_overlay_shows_image_categories_and_borders() -> None:
    labels = np.zeros((6, 8), int)
    labels[:, 3:] = 7
    photo = np.linspace(0, 1, 48).reshape(6, 8, 1).repeat(3, axis=2)
    drawn = category_overlay(labels, (2, 4), photo, zoom=5)
    assert drawn.shape == (30, 40, 3) and 0 <= drawn.min() <= drawn.max() <= 1
    flat = drawn[2::5, 2::5]
    assert (np.diff(flat.mean(2)[:, :3], axis=1) > 0).all()  # the image shines through
    first, last = category_colors(np.array([0, 7]), 2, 4)
    hidden = flat - flat.mean(2, keepdims=True)
    np.testing.assert_allclose(hidden[:, 0], np.tile(0.66 * (first - first.mean()), (6, 1)), atol=1e-6)
    np.testing.assert_allclose(hidden[:, 7], np.tile(0.66 * (last - last.mean()), (6, 1)), atol=1e-6)
    plain = category_overlay(labels, (2, 4), photo, zoom=1).repeat(5, axis=0).repeat(5, axis=1)
    changed = np.abs(drawn - plain).max(2) > 1e-6
    assert set(np.nonzero(changed)[1]) == {15} and changed[:, 15].all()


def test_all_maps_are_drawn_with_their_numbers(maps: CategoryMaps, photo: np.ndarray) -> None:
    figure = draw_categories(maps, photo)
    assert len(figure.axes) == 3 * 5
    for found, used in zip(maps.maps, maps.table["used"], strict=True):
        place = axes_of(figure)[(found.group - 1) * 5 + 1 + 2 * (found.block - 1) + (found.kind == "fine")]
        assert place.get_title() == f"{found.group}.{found.block} {found.kind}"
        assert place.texts[0].get_text() == ("1 category" if used == 1 else f"{used} categories")
        expected = category_overlay(found.labels, maps.grid.anchor_grid, photo)
        np.testing.assert_allclose(place.images[0].get_array(), expected)
    assert {"image", "colours of the anchors"} <= {axes.get_title() for axes in figure.axes}


def test_patches_have_the_colour_of_their_category(maps: CategoryMaps, photo: np.ndarray) -> None:
    figure = draw_mean_patches(maps, photo, count=4)
    assert len(figure.axes) == 4 * len(maps.maps)
    used, sizes = maps.maps[0].largest_first
    color = category_colors(used[:1], *maps.grid.anchor_grid)[0]
    np.testing.assert_allclose(axes_of(figure)[0].spines["left"].get_edgecolor()[:3], color)
    assert axes_of(figure)[0].get_xlabel() == f"{100 * sizes[0] / 960:.1f} %"


def test_agreement_is_drawn_with_its_controls(study: SuperpixelStudy) -> None:
    figure = draw_agreement(study)
    first, second, third = axes_of(figure)
    coarse = study.table[study.table["kind"] == "coarse"]
    curves = [list(line.get_ydata()) for axes in (first, second, third) for line in axes.lines]
    for column in ("ari_slic", "ari_slic_untrained", "homogeneity_slic", "homogeneity_slic_shuffled"):
        assert any(np.array_equal(curve, coarse[column], equal_nan=True) for curve in curves), column
    between = study.maps.between
    assert list(third.lines[0].get_ydata()) == between[between["kind"] == "coarse"]["ari"].tolist()
    assert list(third.lines[0].get_xdata()) == [1, 2, 3, 4, 5]
    assert [label.get_text() for label in third.get_xticklabels()] == ["1.1", "1.2", "2.1", "2.2", "3.1", "3.2"]


def test_receptive_fields_share_a_scale_and_show_their_squares() -> None:
    even, point = np.full((20, 30), 1 / 600), np.zeros((20, 30))
    point[10, 15] = 1
    fields = [ReceptiveField(name, "output", 1, values) for name, values in (("$even", even), ("point", point))]
    figure = draw_receptive_fields(fields)
    wide, narrow = axes_of(figure)[:2]
    assert wide.get_title() == "$even\noutput" and narrow.get_xlabel() == "0.167 % and 0.167 % of the image"
    assert wide.images[0].norm is narrow.images[0].norm and wide.images[0].norm.vmax == 600
    squares = [patch.get_bbox().bounds for patch in wide.patches]
    side = fields[0].extent(0.5).side
    assert squares[0] == (15 - side // 2 - 0.5, 10 - side // 2 - 0.5, side, side)
    assert narrow.patches[1].get_bbox().bounds == (14.5, 9.5, 1, 1)
    depth = [ReceptiveField("one", f"layer {i}", 1, even) for i in range(7)]
    titles = [axes.get_title() for axes in draw_receptive_fields(depth).axes]
    assert titles[:7] == [f"layer {i}" for i in range(7)]
