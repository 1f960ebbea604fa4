"""Squares of the input that help and hurt a window, beside the local attribution map, and a PromptSR's own parts.

Write the figure on a white ground, with `figure_style.publish`.
"""

import math
import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Colormap, LinearSegmentedColormap, Normalize, PowerNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle

from analysis.common.figure_style import drawable, show_plainly, soften
from analysis.common.overlay import heat, two_signs
from analysis.lam.causes import Causes
from analysis.lam.occlusion import WAYS, Occlusion

_WINDOW = "#111111"  # not the red of other boxes, which the map has too
_HURTS, _HELPS = "#d9600a", "#1f6fb4"
_BARS = ("#1f6fb4", "#b0562f", "#3b8f4e", "#7a5aa6")
_FONT = 8.5
_SIDE = 2.0
"""Side of a picture, in inches."""
_LINEAR, _LARGEST = 0.01, 100.0
"""dB up to which the colours are linear, above it they are logarithmic; and where they end if a loss is infinite."""
_TITLES = {"blurred": "Each square blurred", "turned": "Each square turned by 180°"}
_HEAT = LinearSegmentedColormap.from_list("heat", ["#b0b0b0", "#ffb30d", "#ff0000"])
_SIGNS = LinearSegmentedColormap.from_list("signs", [_HURTS, "#b0b0b0", _HELPS])


def draw_causes(causes: Causes, name: str) -> Figure:
    """Draw a column per model: squares by their effect, for each way of replacing them, and sums of the map below.

    With an HR image squares that help and squares that hurt have their own colours, by the PSNR that the window loses;
    without one the colour shows how much the window changes. Effects within the noise get no colour. The effects of
    interventions in PromptSR are at the right, with a line where the noise ends.

    Args:
        causes: of one model or more.
        name: of the image.
    """
    inside = len(causes.interventions) > 0
    left = max(3.8, 1.4 + (_SIDE + 0.2) * len(causes.occlusions))
    widths = (left, 4.8) if inside else (left,)
    figure = Figure(figsize=(sum(widths), 8.4), layout="constrained")
    grid = figure.add_gridspec(1, len(widths), width_ratios=widths)
    _draw_squares(figure.add_subfigure(grid[0]), causes)
    if inside:
        _draw_interventions(figure.add_subfigure(grid[1]), causes)
    patch, scale = causes.explanation.patch, causes.explanation.comparison.scale
    handles = [Patch(facecolor="none", edgecolor=_WINDOW, label="window")]
    if patch.hr is not None:
        colors = (("helps: without it PSNR falls", _HELPS), ("hurts: without it PSNR rises", _HURTS))
        handles += [Patch(facecolor=color, label=text) for text, color in colors]
    columns = len(handles) if sum(widths) > 6 else 1
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, fontsize=_FONT, frameon=False)
    title = f"{name} (×{scale}), squares of {causes.occlusions[0].side} input pixels"
    figure.suptitle(drawable(title), fontsize=_FONT + 1.5, parse_math=False)
    return figure


def _draw_squares(figure: SubFigure, causes: Causes) -> None:
    patch, scale = causes.explanation.patch, causes.explanation.comparison.scale
    image = patch.lr[0].permute(1, 2, 0).cpu().numpy()  # 1 x 3 x H x W -> H x W x 3
    signed = patch.hr is not None
    column = "psnr_lost" if signed else "change"
    largest = max(float(np.abs(each.grid(column, way)).max()) for each in causes.occlusions for way in WAYS)
    norm: Normalize
    if signed:
        largest = max(largest, _LINEAR) if math.isfinite(largest) else _LARGEST
        norm = AsinhNorm(_LINEAR, -largest, largest)
    else:
        norm = PowerNorm(0.5, 0, largest or 1)
    strongest = max(float(each.grid("lam").max()) for each in causes.occlusions) or 1.0
    rows = figure.subplots(len(WAYS) + 1, len(causes.occlusions), squeeze=False)
    for axes, occlusion in zip(rows.T, causes.occlusions, strict=True):
        for way, place in zip(WAYS, axes, strict=False):
            values = occlusion.pixels(column, way)
            shares = np.asarray(norm(values)).clip(0, 1)
            noise = occlusion.noise.psnr if signed else occlusion.noise.change
            shares = np.where(np.abs(values) > noise, 2 * shares - 1 if signed else shares, 0)
            place.imshow(two_signs(shares, image, (_HURTS, _HELPS)) if signed else heat(shares, image))
            place.set_xlabel(_counts(occlusion, way, signed), fontsize=_FONT)
        axes[-1].imshow(heat(np.sqrt(occlusion.pixels("lam") / strongest), image))
        axes[-1].set_xlabel("\n".join(_agreement(occlusion, way) for way in WAYS), fontsize=_FONT)
        axes[0].set_title("\n".join(textwrap.wrap(drawable(occlusion.model), 24)), fontsize=_FONT, parse_math=False)
        for place in axes:
            place.set(xticks=[], yticks=[])
            corner = (patch.region.x / scale - 0.5, patch.region.y / scale - 0.5)
            side = patch.region.size / scale
            place.add_patch(Rectangle(corner, side, side, edgecolor=_WINDOW, fill=False, linewidth=1.4))
    for place, title in zip(rows[:, 0], (*(_TITLES[way] for way in WAYS), "LAM, summed over squares"), strict=True):
        place.set_ylabel(title, fontsize=_FONT)
    label = "PSNR-Y that the window loses, dB" if signed else "change of the window, grey levels (of 255)"
    _bar(figure, rows[:-1], norm, _SIGNS if signed else _HEAT, label)
    _bar(figure, rows[-1:], PowerNorm(0.5, 0, strongest), _HEAT, "sum of the map")


def _bar(figure: SubFigure, rows: np.ndarray, norm: Normalize, colors: Colormap, label: str) -> None:
    """Draw a colour bar beside rows of pictures; on a scale of both signs with ticks at powers of ten."""
    bar = figure.colorbar(ScalarMappable(norm, colors), ax=list(rows.flat), shrink=0.8, aspect=30)
    bar.set_label(label, fontsize=_FONT)
    if isinstance(norm, AsinhNorm):
        largest = float(norm.vmax or 0)
        sizes = [*(10.0**n for n in range(-2, 3) if 10.0**n < 0.6 * largest), largest]
        bar.set_ticks([*(-size for size in reversed(sizes)), 0, *sizes])
        texts = [f"{size:.2g}" for size in sizes]
        bar.set_ticklabels([*(f"−{text}" for text in reversed(texts)), "0", *(f"+{text}" for text in texts)])
        bar.minorticks_off()
    bar.ax.tick_params(labelsize=_FONT - 1)


def _counts(occlusion: Occlusion, way: str, signed: bool) -> str:
    """Say how many squares help and hurt."""
    found = occlusion.summary(way)
    if not signed:
        return f"{found['changing']} of {found['squares']} change it (noise {occlusion.noise.change:.2g})"
    return _minus(
        f"{found['helping']} help, {found['hurting']} hurt, of {found['squares']}\n"
        f"({found['largest_harm']:+.2f} to {found['largest_help']:+.2f} dB, noise ±{found['noise']:.2g})"
    )


def _minus(text: str) -> str:
    return text.replace("-", "−")


def _agreement(occlusion: Occlusion, way: str) -> str:
    found = occlusion.agreement(way)
    return f"rank corr., {way}: " + ("too few" if math.isnan(found) else _minus(f"{found:+.2f}"))


def _draw_interventions(figure: SubFigure, causes: Causes) -> None:
    """Draw a bar per intervention and model: how much the window changes, with the PSNR that it loses as a number."""
    table = causes.interventions
    names = list(dict.fromkeys(table["intervention"]))
    models = table["model"].iloc[:: len(names)].tolist()
    axes: Axes = figure.subplots()
    thick = 0.8 / len(models)
    for index, model in enumerate(models):
        own = table.iloc[index * len(names) : (index + 1) * len(names)]
        places = np.arange(len(names)) + (index - (len(models) - 1) / 2) * thick
        color = _BARS[index % len(_BARS)]
        axes.barh(places, own["change"], 0.9 * thick, color=color, label=drawable(model))
        axes.axvline(own["change"].iloc[0], color=color, linestyle="--", linewidth=1)
        for place, change, lost in zip(places, own["change"], own["psnr_lost"], strict=True):
            number = f"±{lost:.2f}" if place == places[0] else f"{lost:+.2f}"  # the control comes first
            text = f"{change:.2f}" if math.isnan(lost) else _minus(f"{change:.2f}  ({number} dB)")
            axes.annotate(
                text,
                (change, place),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=_FONT - 1,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.8},
            )
    axes.set_yticks(range(len(names)), [name.replace(": ", ":\n") for name in names], fontsize=_FONT)
    axes.invert_yaxis()
    axes.margins(x=0.4)
    axes.set_xlabel("change of the window, grey levels (of 255)", fontsize=_FONT)
    axes.tick_params(axis="x", labelsize=_FONT)
    soften(axes, "x")
    lost = "" if table["psnr_lost"].isna().all() else "\n(in brackets the PSNR-Y that it loses)"
    axes.set_title(f"The window, with parts of PromptSR replaced{lost}", fontsize=_FONT)
    axes.legend(loc="lower right", fontsize=_FONT)
    show_plainly(axes)
