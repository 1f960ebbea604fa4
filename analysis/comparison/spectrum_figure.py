"""Spectrum of the error of several models, the strength of detail in their results, and their impulse responses.

Write the figure on a white ground, with `figure_style.publish`.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.common.figure_style import INK, drawable, show_plainly, soften
from analysis.comparison.spectrum import SpectrumStudy

_COLORS = ("#1f6fb4", "#d08a1e", "#3b8f4e", "#b0562f", "#7a5aa6", "#5c6670")
_REACH = 3.5
"""Input pixels of the impulse response that are shown on both sides."""
_FONT = 8.5


def draw_spectrum(study: SpectrumStudy) -> Figure:
    """Draw three panels, with a line for each model in all of them.

    Energy of the error by frequency beside that of HR, on a logarithmic scale; the strength by which a band of HR is
    found in the result; and the response to one brighter pixel, summed over the rows.
    """
    figure = Figure(figsize=(12.6, 3.9), layout="constrained")
    error, strength, impulse = figure.subplots(1, 3)
    first = study.bands[study.bands["model"] == study.models[0]]
    middles = (first["low"] + first["high"]) / 2
    error.semilogy(middles, first["hr"], "--", color=INK, label="HR image")
    for color, model, response in zip(_COLORS * len(study.models), study.models, study.impulses, strict=False):
        rows = study.bands[study.bands["model"] == model]
        error.semilogy(middles, rows["error"], "o-", color=color, markersize=3.5, label=drawable(model))
        strength.plot(middles, rows["strength"], "o-", color=color, markersize=3.5, label=drawable(model))
        shown = np.abs(response.places) <= _REACH
        impulse.plot(
            response.places[shown], response.line[shown], ".-", color=color, markersize=4, label=drawable(model)
        )
    _finish(error, "Error of the result by frequency", "squared grey levels of Y, by band")
    _finish(strength, "Share of the HR image's detail in the result", "strength (1 = as in HR, 0 = not there)")
    for axes in (error, strength):
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
        axes.set_xlabel("frequency (cycles per input pixel; dotted: the input's limit)", fontsize=_FONT)
    _finish(impulse, "Response to one brighter input pixel", "sum over the column / scale (interpolation: its kernel)")
    impulse.set_xlabel("distance from the pixel's column (input pixels)", fontsize=_FONT)
    error.legend(fontsize=_FONT - 0.5, frameon=False)
    show_plainly(error)
    return figure


def _finish(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, fontsize=_FONT + 0.5)
    axes.set_ylabel(label, fontsize=_FONT)
    axes.tick_params(labelsize=_FONT - 0.5)
    soften(axes)
