"""Anchor prompts in the plane (Fig. 11), and in numbers how well they separate."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.anchors.embedding import Planes
from analysis.anchors.points import Points
from analysis.anchors.separation import Separations
from analysis.common.figure_style import drawable, show_plainly, soften

# Palettes for all kinds of colour vision: Okabe and Ito's, and "muted" of Paul Tol's for more classes.
GROUP_COLORS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#000000")
CATEGORY_COLORS = (
    *("#332288", "#88ccee", "#cc6677", "#117733", "#ddcc77"),
    *("#882255", "#44aa99", "#999933", "#aa4499", "#6b6b6b"),
)
_MARKERS = "o^sDv"  # the next one when the colours are used up
_NULL, _INK = "#c9ced4", "#30363d"
_FONT = 9


def draw_tsne(points: Points, planes: Planes) -> Figure:
    """Draw the three panels of Fig. 11: all groups by group; the first and the last group by category.

    There are no ticks, for the axes of t-SNE have no unit. For a white ground: `analysis.common.figure_style.publish`.
    """
    groups, n = planes.single.shape[:2]
    figure = Figure(figsize=(11.6, 3.7), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    _scatter(first, planes.all, np.repeat(np.arange(groups), n), GROUP_COLORS)
    _scatter(second, planes.single[0], points.categories, CATEGORY_COLORS)
    _scatter(third, planes.single[-1], points.categories, CATEGORY_COLORS)
    first.set_title("Anchor prompts of all groups", fontsize=_FONT + 1)
    second.set_title("Group 1, by category", fontsize=_FONT + 1)
    third.set_title(f"Group {groups}, by category", fontsize=_FONT + 1)
    _legend(first, [f"$P^{{{i}}}$" for i in range(1, groups + 1)], GROUP_COLORS, below=True, columns=groups)
    _legend(third, points.names, CATEGORY_COLORS, below=False, columns=1 + (len(points.names) - 1) // 16)
    show_plainly(third)
    return figure


def draw_numbers(found: Mapping[str, Separations]) -> Figure:
    """Draw the k-NN accuracy by residual group, and by category at every group, of several networks by name.

    Every dot stands on a grey bar, the central 95 % under permuted labels; a short line is the share of the largest
    class. For a white ground: `analysis.common.figure_style.publish`.
    """
    questions = 1 + max(len(each.categories) for each in found.values())
    figure = Figure(figsize=(2.2 + 1.25 * questions, 3.6), layout="constrained")
    axes = figure.add_subplot()
    step = 0.72 / len(found)
    for i, (name, separations) in enumerate(found.items()):
        color, marker = _style(i, GROUP_COLORS)
        every = separations.by_question.values()
        heights = [100 * each.knn for each in every]
        places = np.arange(len(every)) + (i - (len(found) - 1) / 2) * step
        for x, each, height in zip(places, every, heights, strict=True):
            axes.bar(x, 100 * (each.high - each.low), 0.8 * step, 100 * each.low, color=_NULL, linewidth=0)
            axes.text(x, height + 1.8, f"{height:.0f}", ha="center", fontsize=_FONT - 1, color=_INK)
        axes.plot(places, heights, marker, color=color, markersize=6, label=drawable(name.replace("_", " ")), zorder=3)
        for x, each in enumerate(every):
            axes.plot([x - 0.42, x + 0.42], [100 * each.chance] * 2, color=_INK, linewidth=1, linestyle=(0, (2, 2)))
    names = ["residual\ngroups", *(f"categories,\ngroup {i}" for i in range(1, questions))]
    axes.set_xticks(range(questions), names, fontsize=_FONT)
    axes.axvline(0.5, color=_NULL, linewidth=0.8)
    axes.set(ylim=(0, 108), xlim=(-0.55, questions - 0.45))
    axes.set_ylabel("k-NN accuracy (%)", fontsize=_FONT)
    axes.tick_params(labelsize=_FONT, length=0)
    soften(axes, "y")
    handles, _ = axes.get_legend_handles_labels()
    handles.append(Line2D([], [], color=_INK, linewidth=1, linestyle=(0, (2, 2)), label="largest class"))
    handles.append(Line2D([], [], color=_NULL, linewidth=7, label="permuted labels, 95 %"))
    axes.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=_FONT)
    show_plainly(axes)
    return figure


def _style(i: int, colors: tuple[str, ...]) -> tuple[str, str]:
    """Return the colour and the marker of the i-th class."""
    return colors[i % len(colors)], _MARKERS[i // len(colors) % len(_MARKERS)]


def _scatter(axes: Axes, plane: np.ndarray, labels: np.ndarray, colors: tuple[str, ...]) -> None:
    size = float(np.clip(8000 / len(plane), 4, 22))
    order = np.random.default_rng(0).permutation(len(plane))  # within a marker, no class lies on top of the others
    looks = np.array([_style(label, colors) for label in labels])
    for marker in dict.fromkeys(looks[:, 1]):
        shown = order[looks[order, 1] == marker]
        axes.scatter(
            plane[shown, 0], plane[shown, 1], s=size, c=looks[shown, 0], marker=marker, alpha=0.65, linewidths=0
        )
    middle = (plane.min(axis=0) + plane.max(axis=0)) / 2
    reach = 0.54 * float(np.ptp(plane, axis=0).max()) or 1.0
    axes.set(xlim=middle[0] + np.array([-reach, reach]), ylim=middle[1] + np.array([-reach, reach]))
    axes.set(xticks=[], yticks=[], aspect="equal")


def _legend(
    axes: Axes, names: tuple[str, ...] | list[str], colors: tuple[str, ...], *, below: bool, columns: int
) -> None:
    """Name the classes below a panel or to its right."""
    handles = []
    for i, name in enumerate(names):
        color, marker = _style(i, colors)
        handles.append(Line2D([], [], linestyle="", marker=marker, color=color, markersize=6, label=drawable(name)))
    axes.legend(
        handles=handles,
        loc="upper center" if below else "center left",
        bbox_to_anchor=(0.5, -0.01) if below else (1.01, 0.5),
        ncols=columns,
        frameon=False,
        fontsize=_FONT,
        handletextpad=0.2,
        columnspacing=1.0,
    )
