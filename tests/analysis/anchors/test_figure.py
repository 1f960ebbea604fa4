"""The panels of Fig. 11 show the points they should, in colours that mean the same; numbers stand at their height."""

from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from analysis.anchors.embedding import Planes
from analysis.anchors.figure import draw_numbers, draw_tsne
from analysis.anchors.points import Points
from analysis.anchors.separation import Separation, Separations


def planted(n: int, categories: int, groups: int = 4) -> tuple[Points, Planes]:
    """Points at places that are all different."""
    rng = np.random.default_rng(0)
    planes = Planes(rng.normal(size=(groups * n, 2)) * [9, 3], rng.normal(size=(groups, n, 2)), 5)
    names = tuple(f"category {i}" for i in range(categories))
    category = np.arange(n) % categories
    return Points(np.zeros((groups, n, 3)), np.arange(n), category, names, tuple(map(str, range(n)))), planes


def looks(axes: Any, plane: np.ndarray, labels: np.ndarray) -> list[tuple[str, int]]:
    """Colour and number of corners of the marker of every label; all its points must have the same."""
    found = {
        tuple(place): (to_hex(color), len(collection.get_paths()[0].vertices))
        for collection in axes.collections
        for place, color in zip(collection.get_offsets(), collection.get_facecolors(), strict=True)
    }
    assert len(found) == len(plane)
    by_label = [{found[tuple(place)] for place in plane[labels == label]} for label in np.unique(labels)]
    assert all(len(each) == 1 for each in by_label)
    return [each.pop() for each in by_label]


@pytest.mark.parametrize("categories", [2, 10, 14])
def test_panels_show_all_groups_then_the_first_and_the_last(categories: int) -> None:
    points, planes = planted(60, categories)
    figure = draw_tsne(points, planes)
    panels: list[Any] = figure.axes
    first, second, third = panels
    of_groups = looks(first, planes.all, np.repeat(np.arange(4), 60))
    assert len(set(of_groups)) == 4
    of_categories = looks(second, planes.single[0], points.categories)
    assert len(set(of_categories)) == categories
    assert of_categories == looks(third, planes.single[-1], points.categories)
    names = [[text.get_text() for text in axes.get_legend().get_texts()] for axes in (first, third)]
    assert names == [["$P^{1}$", "$P^{2}$", "$P^{3}$", "$P^{4}$"], list(points.names)]
    handles = third.get_legend().legend_handles
    assert [to_hex(handle.get_color()) for handle in handles] == [color for color, _ in of_categories]
    for axes, plane in zip(figure.axes, (planes.all, planes.single[0], planes.single[-1]), strict=True):
        assert axes.get_aspect() == 1 and list(axes.get_xticks()) == [] == list(axes.get_yticks())
        (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
        assert right - left == pytest.approx(high - low)
        assert left < plane[:, 0].min() and plane[:, 0].max() < right
        assert low < plane[:, 1].min() and plane[:, 1].max() < high


def numbers() -> tuple[Figure, dict[str, Separations]]:
    """Three networks with two groups."""

    def of(knn: float, chance: float) -> Separation:
        return Separation(0.1, knn, chance, 0.5, chance - 0.03, chance + 0.02, 0.2)

    networks = {
        "trained": Separations(of(1, 0.25), (of(0.3, 0.1), of(0.5, 0.1))),
        "untrained": Separations(of(0.9, 0.25), (of(0.2, 0.1), of(0.12, 0.1))),
        "update_off": Separations(of(0.8, 0.25), (of(0.28, 0.1), of(0.48, 0.1))),
    }
    return draw_numbers(networks), networks


def test_numbers_stand_at_their_height() -> None:
    figure, networks = numbers()
    parts: list[Any] = figure.axes
    [axes] = parts
    lines = {line.get_label(): line for line in axes.get_lines()}
    for name, found in networks.items():
        every = [found.groups, *found.categories]
        np.testing.assert_allclose(lines[name.replace("_", " ")].get_ydata(), [100 * each.knn for each in every])
        assert np.array_equal(np.round(lines[name.replace("_", " ")].get_xdata()), [0, 1, 2])
    bars = sorted((bar.get_x(), bar.get_y(), bar.get_height()) for bar in axes.patches)
    np.testing.assert_allclose([low for _, low, _ in bars], [22] * 3 + [7] * 6)
    np.testing.assert_allclose([height for _, _, height in bars], [5] * 9)
    names = ["residual\ngroups", "categories,\ngroup 1", "categories,\ngroup 2"]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert {"100", "90", "80", "30", "12", "48"} <= {text.get_text() for text in axes.texts}
    assert [text.get_text() for text in axes.get_legend().get_texts()][:3] == ["trained", "untrained", "update off"]


def test_legends_and_titles_are_on_the_page() -> None:
    for figure in (draw_tsne(*planted(200, 14)), numbers()[0]):
        figure.draw_without_rendering()
        page = figure.bbox
        for axes in figure.axes:
            box = axes.get_tightbbox()
            assert box is not None and box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
