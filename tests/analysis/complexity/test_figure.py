"""Fig. 1b and the lines of Table II: everything is drawn where it belongs, and names can be read."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from analysis.complexity.figure import draw_accuracy, draw_scaling
from analysis.complexity.scaling import LAYERS, Exponent, Scaling
from analysis.complexity.study import Point, accuracy_against_size


def names_of(figure: Figure) -> list[Annotation]:
    return [child for child in figure.axes[0].get_children() if isinstance(child, Annotation) and child.get_text()]


@pytest.mark.parametrize(("dataset", "scale"), [("Urban100", 4), ("Set5", 4), ("Set5", 2), ("Urban100", 2)])
def test_names_cover_nothing(dataset: str, scale: int) -> None:
    points = accuracy_against_size(dataset, scale)
    figure = draw_accuracy(points, dataset, scale)
    figure.draw_without_rendering()
    names = names_of(figure)
    assert sorted(name.get_text() for name in names) == sorted(point.model for point in points)
    boxes = [name.get_window_extent() for name in names]
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    centers = figure.axes[0].transData.transform([(point.parameters / 1e3, point.psnr_y) for point in points])
    assert not any(box.contains(x, y) for box in boxes for x, y in centers)
    frame = figure.axes[0].bbox
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)


def test_points_lie_where_they_belong() -> None:
    points = [Point("a", 5e5, 26.0, "published"), Point("b", 7e5, 27.0, "measured")]
    figure = draw_accuracy(points, "Urban100", 4)
    axes = figure.axes[0]
    drawn = sorted(map(tuple, np.concatenate([np.asarray(dots.get_offsets()) for dots in axes.collections])))
    assert drawn == [(500, 26), (700, 27)]
    assert axes.get_ylabel() == "PSNR-Y on Urban100, ×4 (dB)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["published", "measured here"]
    [alone] = names_of(draw_accuracy(points[:1], "Set5", 2))
    assert alone.get_text() == "a"


@pytest.mark.parametrize("timed", [False, True])
def test_lines_have_their_exponents(timed: bool) -> None:
    quantities = ["attention", "maps", "memory", *(["seconds"] if timed else [])]
    tokens = (1024, 4096, 9216)
    values = (1.5, 0.25, tokens, (1.0, 8.0, 27.0))
    exponents = tuple(Exponent(layer, quantity, None, *values) for layer in LAYERS for quantity in quantities)
    figure = draw_scaling(Scaling(exponents))
    assert len(figure.axes) == (3 if timed else 2)
    for axes in figure.axes:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert [list(line.get_xdata()) for line in axes.lines] == [list(tokens)] * 4  # type: ignore[arg-type]
        legend = axes.get_legend()
        assert legend is not None
        labels = [text.get_text() for text in legend.get_texts()]
        suffix = " ± 0.25" if axes.get_title().startswith("Time") else ""
        assert labels == [f"{layer}: 1.50{suffix}" for layer in LAYERS]
        assert [label.get_text() for label in axes.get_xticklabels()] == ["32²", "64²", "96²"]
