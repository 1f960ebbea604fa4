"""How far a change of the input travels: by depth, in the categories, for every size of the step, and in the result.

Write the figure on a white ground, with `figure_style.publish`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.attention.maps import LAYERS
from analysis.attention.stability import StabilityStudy
from analysis.common.figure_style import drawable, show_plainly, soften

_COLORS = ("#1f6fb4", "#b0562f", "#3b8f4e", "#7a5aa6")
_KINDS = dict(zip(LAYERS, ("#1f6fb4", "#d08a1e"), strict=True))
_FONT = 8.5


def draw_stability(study: StabilityStudy, name: str) -> Figure:
    """Draw four panels: change by depth, share of the pixels whose category flips, result against step, and a map.

    Args:
        study: of one network or more; the map is that of the first one.
        name: of the image.
    """
    figure = Figure(figsize=(10.4, 7.2), layout="constrained")
    (depth, flips), (steps, picture) = figure.subplots(2, 2)
    _draw_depth(depth, study)
    _draw_flips(flips, study)
    _draw_steps(steps, study)
    shown = picture.imshow(study.difference, cmap="inferno", vmin=0, vmax=max(1.0, float(study.difference.max())))
    picture.set(xticks=[], yticks=[])
    _title(picture, f"Change of the result, {study.models[0]} on {name}")
    bar = figure.colorbar(shown, ax=picture, shrink=0.85)
    bar.set_label(f"largest change of a colour, {study.draws} draws (grey levels of 255)", fontsize=_FONT)
    bar.ax.tick_params(labelsize=_FONT)
    return figure


def _draw_depth(axes: Axes, study: StabilityStudy) -> None:
    for color, model in zip(_COLORS * len(study.models), study.models, strict=False):
        rows = study.layers[study.layers["model"] == model]
        axes.semilogy(rows["layer"], rows["change"], "o-", color=color, markersize=3.5, label=drawable(model))
        axes.semilogy(
            rows["layer"], rows["change_held"], "--", color=color, label=drawable(f"{model}, categories held")
        )
    _title(axes, f"Change of the features after a step of {study.step:g} at the input")
    axes.set_ylabel("norm of the difference / norm of the features", fontsize=_FONT)
    axes.tick_params(axis="x", rotation=90)
    _finish(axes)  # the legend is that of the panel below


def _draw_flips(axes: Axes, study: StabilityStudy) -> None:
    blocks = study.layers[study.layers["coarse_flips"].notna()]
    for line, model in zip(("o-", "o:") * len(study.models), study.models, strict=False):
        rows = blocks[blocks["model"] == model]
        for kind, color in _KINDS.items():
            label = drawable(f"{model}, {kind}")
            axes.plot(rows["layer"], 100 * rows[f"{kind}_flips"], line, color=color, markersize=4, label=label)
    _title(axes, "Pixels whose category flips")
    one = 100 / (study.photo.shape[2] * study.photo.shape[3])
    axes.set_yscale("symlog", linthresh=one)
    axes.set_ylabel(f"share of the pixels (%, one pixel is {one:.2g})", fontsize=_FONT)
    axes.set_ylim(bottom=-one / 4)
    _finish(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize=_FONT - 1, frameon=False)
    show_plainly(axes)


def _draw_steps(axes: Axes, study: StabilityStudy) -> None:
    for color, model in zip(_COLORS * len(study.models), study.models, strict=False):
        rows = study.steps[study.steps["model"] == model]
        axes.loglog(
            rows["step"], np.maximum(rows["change"], 1e-9), "o-", color=color, markersize=3.5, label=drawable(model)
        )
        held = np.maximum(rows["change_held"], 1e-9)
        axes.loglog(rows["step"], held, "--", color=color, label=drawable(f"{model}, categories held"))
    _title(axes, "Change of the result for every size of the step, one draw")
    axes.set_xlabel("step of the input (of 1, the range of a value)", fontsize=_FONT)
    axes.set_ylabel("root mean square change (grey levels of 255)", fontsize=_FONT)
    _finish(axes)
    axes.legend(loc="lower right", fontsize=_FONT - 1, frameon=False)
    show_plainly(axes)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(drawable(text), fontsize=_FONT + 0.5).set_parse_math(False)


def _finish(axes: Axes) -> None:
    axes.tick_params(labelsize=_FONT - 0.5)
    soften(axes)
