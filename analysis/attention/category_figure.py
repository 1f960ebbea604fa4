"""Categories of pixels as colours over the image, and their agreement with superpixels and from layer to layer.

Write these figures on a white ground, with `figure_style.publish`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.attention.categories import CategoryMaps, mean_patches
from analysis.attention.category_colors import category_colors, category_overlay
from analysis.attention.maps import LAYERS
from analysis.attention.superpixels import SuperpixelStudy
from analysis.common.figure_style import INK, soften

_FONT = 8
_COLORS = {"coarse": "#1f6fb4", "fine": "#c4541c"}


def draw_categories(maps: CategoryMaps, photo: np.ndarray) -> Figure:
    """Draw all category maps: a row per residual group; for each of its blocks the coarse and the fine one.

    At the left the photograph, and below it the key to the colours: every anchor in its own square.

    Args:
        maps: of an image.
        photo: that image, H x W x 3 in [0, 1].
    """
    config, (height, width) = maps.grid.config, photo.shape[:2]
    rows, columns = max(config.groups, 2), 1 + 2 * config.blocks_per_group
    side = 1.55
    across, down = side * min(1, width / height), side * min(1, height / width)
    figure = Figure(figsize=(columns * (across + 0.12) + 0.2, rows * (down + 0.38)), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        each.set_axis_off()
    _show(axes[0, 0], photo, "image")
    _show(axes[1, 0], category_overlay(maps.plain_grid, maps.grid.anchor_grid, photo), "colours of the anchors")
    used = dict(zip(maps.maps, maps.table["used"], strict=True))
    for each in maps.maps:
        place = axes[each.group - 1, 1 + 2 * (each.block - 1) + LAYERS.index(each.kind)]
        _show(
            place, category_overlay(each.labels, maps.grid.anchor_grid, photo), f"{each.group}.{each.block} {each.kind}"
        )
        count = f"{used[each]} categor{'y' if used[each] == 1 else 'ies'}"
        place.text(0.5, -0.03, count, transform=place.transAxes, ha="center", va="top", fontsize=_FONT - 1, color=INK)
    return figure


def _show(axes: Axes, image: np.ndarray, title: str) -> None:
    axes.imshow(image.clip(0, 1), interpolation="auto")
    axes.set_title(title, fontsize=_FONT, pad=3)


def draw_mean_patches(maps: CategoryMaps, photo: np.ndarray, count: int = 8) -> Figure:
    """Draw the mean patch around the pixels of the largest categories, a row per map; below each its share of pixels.

    The frame has the colour of the category.
    """
    colors = category_colors(np.arange(np.prod(maps.grid.anchor_grid)), *maps.grid.anchor_grid)
    figure = Figure(figsize=(0.68 * count + 1.0, 0.74 * len(maps.maps)), layout="constrained")
    axes = figure.subplots(len(maps.maps), count, squeeze=False)
    for line, each in zip(axes, maps.maps, strict=True):
        patches = mean_patches(each.labels, photo, count=count)
        for place in line[len(patches) :]:
            place.set_axis_off()
        for place, (category, pixels, patch) in zip(line, patches, strict=False):
            place.imshow(patch.clip(0, 1))
            place.set(xticks=[], yticks=[])
            place.spines[:].set(color=colors[category], linewidth=2.5)
            share = 100 * pixels / each.labels.size
            place.set_xlabel(f"{share:.1f} %" if share >= 0.1 else "< 0.1 %", fontsize=_FONT - 2, labelpad=2)
        name = f"{each.group}.{each.block} {each.kind}"
        line[0].set_ylabel(name, fontsize=_FONT, rotation=0, ha="right", va="center")
    return figure


def draw_agreement(study: SuperpixelStudy) -> Figure:
    """Draw agreement over depth: with superpixels by adjusted Rand index and homogeneity, and from layer to layer.

    Solid lines are the network, dashed ones networks with fresh weights (their mean), dotted ones chance or the plain
    anchor grid.
    """
    figure = Figure(figsize=(9.6, 3.3), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    table, maps = study.table, study.maps
    blocks = np.arange(len(maps.within))
    for axes, measure, title in (
        (first, "ari", "Adjusted Rand index with SLIC"),
        (second, "homogeneity", "Homogeneity of SLIC superpixels"),
    ):
        for kind in LAYERS:
            part = table[table["kind"] == kind]
            axes.plot(blocks, part[f"{measure}_slic"], "o-", color=_COLORS[kind], markersize=4)
            axes.plot(blocks, part[f"{measure}_slic_untrained"], "s--", color=_COLORS[kind], markersize=3, alpha=0.55)
            if measure == "homogeneity":  # the adjusted index is 0 there
                axes.plot(blocks, part[f"{measure}_slic_shuffled"], ":", color=_COLORS[kind])
        grid = getattr(study.grid, measure)
        axes.axhline(grid, color=INK, linestyle=(0, (6, 2)), linewidth=1)
        place = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "ha": "right", "va": "top"}
        axes.annotate("plain anchor grid", (1, grid), (-2, -2), **place, fontsize=_FONT - 1, color=INK)
        axes.set_title(title, fontsize=_FONT + 1)
    for kind in LAYERS:
        ours, theirs = (_between(each, kind) for each in ((maps,), study.untrained))
        third.plot(blocks[1:], ours, "o-", color=_COLORS[kind], markersize=4, label=kind)
        third.plot(blocks[1:], theirs, "s--", color=_COLORS[kind], markersize=3, alpha=0.55)
    third.plot(blocks, maps.within["ari"], "D-", color="#3c8d5a", markersize=3.5, label="coarse and fine of the block")
    third.set_title("Adjusted Rand index with the block before", fontsize=_FONT + 1)
    for axes in (first, second, third):
        axes.set_xticks(blocks, [f"{m.group}.{m.block}" for m in maps.of("coarse")])
        axes.set_xlabel("group.block", fontsize=_FONT)
        axes.tick_params(labelsize=_FONT)
        axes.axhline(0, color="#c9ced4", linewidth=0.8, zorder=0)
        soften(axes, "y")
    for line, label in (("-", "this network"), ("--", "untrained (mean)"), (":", "shuffled labels")):
        third.plot([], [], line, color=INK, label=label)
    figure.legend(loc="outside lower center", ncols=6, fontsize=_FONT, frameon=False)
    return figure


def _between(several: tuple[CategoryMaps, ...], kind: str) -> np.ndarray:
    """Return the agreement of each map of one kind with the one before, mean over several networks."""
    frames = [maps.between[maps.between["kind"] == kind]["ari"].to_numpy() for maps in several]
    mean: np.ndarray = np.mean(frames, axis=0)
    return mean
