"""Figures of attention as drawn: what is coloured, what is marked, what is written, and that nothing overlaps."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from analysis.attention.figure import draw_attention, draw_depth, group_overlay, overlay, scale_colors
from analysis.attention.pixel import PixelAttention, attention_of
from analysis.attention.weight_maps import WeightMap
from analysis.common.overlay import heat, log_share, paled, relative, tint
from tests.analysis.attention.conftest import WINDOWS_ONLY, noise, uneven

PHOTO = np.random.default_rng(3).random((6, 10, 3))


def seen(height: int = 20, width: int = 30, heads: int = 2, **settings: Any) -> PixelAttention:
    network = uneven(groups=1, blocks_per_group=1, category_size=32, heads=heads, **settings)
    return attention_of(network, noise(height, width), group=0, block=0, x=width // 3, y=height // 2)


def shown(axes: Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_colours_stand_for_multiples_of_the_mean() -> None:
    np.testing.assert_allclose(log_share(np.array([0, 1e-9, 1 / 30, 1, 30, 400])), [0, 0, 0, 0.5, 1, 1], atol=1e-12)
    np.testing.assert_allclose(log_share(np.array([3.0])), np.interp(np.log(3), np.log([1 / 30, 30]), [0, 1]))
    np.testing.assert_allclose(relative(np.array([[0, 2.0], [4, 6]])), [[0, 0.5], [1, 1.5]])
    assert relative(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]
    # One even map and one with a peak: equal multiples have equal colours, whatever the weights.
    grey, peak = np.full((6, 10, 3), 0.5), np.ones((6, 10))
    peak[0, 0] = 90
    even, uneven = (overlay(WeightMap(values), grey) for values in (np.full((6, 10), 0.01), peak))
    np.testing.assert_allclose(even, np.broadcast_to(scale_colors(np.ones(1)), even.shape), atol=0.01)
    np.testing.assert_allclose(uneven[[0, 5], [0, 5]], scale_colors(np.array([90, 1]) * 60 / (59 + 90)), atol=0.01)


def test_overlay_orders_weights_by_brightness_and_leaves_out_what_is_not_read() -> None:
    values = np.zeros((6, 10))
    values[2, 3:7] = [0.0101, 0.05, 0.2, 1]
    drawn = overlay(WeightMap(values), np.full((6, 10, 3), 0.5))
    np.testing.assert_array_equal(drawn[values == 0], paled(np.full((6, 10, 3), 0.5))[values == 0])
    assert (np.diff(drawn[2, 3:7].mean(axis=1)) > 0.05).all()
    assert drawn.min() >= 0 and drawn.max() <= 1


def test_overlay_of_anchors_and_of_heads() -> None:
    anchors = np.array([[1, 0, 0], [0, 0, 4.0]])  # 4 x 4 pixels each, over 6 x 10
    drawn = overlay(WeightMap(anchors, stride=4), PHOTO)
    colored = (drawn != paled(PHOTO)).any(axis=2)
    expected = np.zeros((6, 10), bool)
    expected[:4, :4] = expected[4:, 8:] = True
    np.testing.assert_array_equal(colored, expected)
    heads = np.random.default_rng(1).random((2, 6, 10))
    first = overlay(WeightMap(heads[0]), PHOTO)
    np.testing.assert_array_equal(overlay(WeightMap(heads), PHOTO, 0), first)
    assert (overlay(WeightMap(heads), PHOTO, 1) != first).any()


def test_groups_stand_out_of_their_category() -> None:
    members, category = np.zeros((2, 6, 10), bool)
    category[:3], members[1, 2:5] = True, True
    drawn = group_overlay(members, category, PHOTO)
    distance = np.abs(drawn - np.array(to_rgb("#1f9e89"))).sum(axis=2)
    assert distance[members].max() < 0.1 < distance[category & ~members].min()
    np.testing.assert_array_equal(drawn[~category], paled(PHOTO)[~category])


def test_tint_and_heat() -> None:
    inside = np.zeros((6, 10), bool)
    inside[0, 0] = True
    np.testing.assert_allclose(tint(inside, PHOTO, "red", 1)[0, 0], [1, 0, 0])
    np.testing.assert_array_equal(tint(inside, PHOTO, "red")[~inside], paled(PHOTO)[~inside])
    np.testing.assert_allclose(heat(np.ones((6, 10)), PHOTO, 1), np.broadcast_to([1.0, 0, 0], (6, 10, 3)))
    np.testing.assert_allclose(heat(np.zeros((6, 10)), PHOTO), paled(PHOTO))


def test_one_pixel() -> None:
    found = seen()
    figure = draw_attention(found, "a$b$.png")
    figure.draw_without_rendering()
    panels = {axes.get_title(): axes for axes in figure.axes}
    assert figure.get_suptitle().startswith("a$b$.png: pixel (10, 10), group 1, block 1")
    whole = panels["Image"]
    np.testing.assert_array_equal(shown(whole), found.photo)
    [square] = [patch for patch in whole.patches if isinstance(patch, Rectangle)]
    assert (*square.get_xy(), square.get_width(), square.get_height()) == (7.5, 7.5, 4, 4)
    numbers = {text.get_text(): text.get_position() for text in whole.texts}
    assert numbers == {str(n): (a.x + 1.5, a.y + 1.5) for n, a in enumerate(found.anchors, start=1)}
    for axes in figure.axes:
        [ring] = axes.lines
        assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (10, 10)  # type: ignore[index]
    for n, anchor in enumerate(found.anchors, start=1):
        panel = panels[f"Anchor {n} reads ({100 * anchor.weight:.2g} %)"]
        np.testing.assert_array_equal(shown(panel), overlay(found.weights[f"reading_{n}"], found.photo))
    for title, name in (("Composed map", "composed"), (f"Jacobian norm, Spearman {found.spearman:.2f}", "jacobian")):
        np.testing.assert_array_equal(shown(panels[title]), overlay(found.weights[name], found.photo))
        [reach] = found.reach(name)
        assert reach is not None
        caption = panels[title].get_xlabel()
        assert f"90 % in {reach.area} of 600 px" in caption and f"mean distance {reach.distance:.1f} px" in caption
    group = panels["Its fine group"]
    members, category = found.groups["members_fine"], found.groups["category_fine"]
    np.testing.assert_array_equal(shown(group), group_overlay(members, category, found.photo))
    assert group.get_xlabel() == f"{members.sum()} pixels attend together\n{category.sum()} have its category"
    window = panels["Window, fine layer, head 2"]
    np.testing.assert_array_equal(shown(window), overlay(found.weights["windows_fine"], found.photo, 1))
    assert (window.get_xlim(), window.get_ylim()) == ((1.5, 18.5), (18.5, 1.5))  # 8 pixels on each side
    values = found.weights["fine"].values
    low, high = (f"{end / values.mean():.2g}" for end in (max(values.min(), values.max() / 1000), values.max()))
    assert panels["Anchors it reads (M fine)"].get_xlabel().splitlines()[0] == f"{low} to {high} × mean"


@pytest.mark.parametrize(
    ("settings", "panels"),
    [
        (WINDOWS_ONLY, 5),
        ({"coarse_prompting": False, "fine_prompting": "off"}, 11),
        ({"coarse_prompting": False}, 12),
        ({"heads": 4}, 17),
    ],
)
def test_what_a_network_lacks_is_left_out(settings: dict[str, Any], panels: int) -> None:
    assert len(draw_attention(seen(**settings), "x").axes) == panels


@pytest.mark.parametrize(("height", "width"), [(20, 30), (12, 60), (60, 12)])
@pytest.mark.parametrize("heads", [2, 4])
def test_nothing_is_clipped_distorted_or_covered(height: int, width: int, heads: int) -> None:
    figure = draw_attention(seen(height, width, heads), "noise")
    figure.draw_without_rendering()
    boxes = []
    for axes in figure.axes:
        box, (left, right), (bottom, top) = axes.bbox, axes.get_xlim(), axes.get_ylim()
        assert box.width / box.height == pytest.approx((right - left) / (bottom - top), rel=0.01)
        boxes += [box, axes.title.get_window_extent(), axes.xaxis.label.get_window_extent()]
    for index, box in enumerate(boxes):
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1
        for other in boxes[:index]:
            apart = box.x0 >= other.x1 - 1 or other.x0 >= box.x1 - 1 or box.y0 >= other.y1 - 1 or other.y0 >= box.y1 - 1
            assert apart, (index, box, other)


@pytest.mark.parametrize("spearman", [False, True])
@pytest.mark.parametrize("blocks", [1, 8, 16])
def test_depth(blocks: int, spearman: bool) -> None:
    columns = ["coarse_entropy", "fine_entropy", "effective_pixels", "distance", "radius", "area", "window_coarse_1"]
    columns += ["window_fine_1", "fine_categories", *(["spearman"] if spearman else [])]
    table = pd.DataFrame(np.random.default_rng(1).random((blocks, len(columns))), columns=columns)
    if spearman:
        table["spearman_low"], table["spearman_high"] = table["spearman"] - 0.1, table["spearman"] + 0.1
    table["group"], table["block"] = [1 + row // 2 for row in range(blocks)], [1 + row % 2 for row in range(blocks)]
    figure = draw_depth(table)
    figure.draw_without_rendering()
    charts = {axes.get_title(): axes for axes in figure.axes}
    drawn = [np.asarray(line.get_ydata()) for axes in figure.axes for line in axes.lines]
    assert len(drawn) == len(columns)
    for name in columns:
        assert any(np.array_equal(line, table[name]) for line in drawn), name
    labels = [label.get_text() for label in charts["Categories in use"].get_xticklabels() if label.get_text()]
    names = [f"{group}.{block}" for group, block in zip(table["group"], table["block"], strict=True)]
    assert set(labels) <= set(names) and labels[0] == names[0] and len(labels) >= min(blocks, 8)
    assert ("Spearman, composed map and Jacobian" in charts) == spearman
    for axes in figure.axes:
        for line in axes.lines:
            assert np.max(np.asarray(line.get_ydata())) < axes.get_ylim()[1]
