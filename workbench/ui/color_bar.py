"""The colour bar of pictures that share one scale, as HTML."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex


def color_bar(colors: str, low: float, high: float, unit: str) -> str:
    """Return a bar of matplotlib's colours by this name, with the values of its ends and its middle."""
    values = ((low, 0.0), ((low + high) / 2, 0.5), (high, 1.0))
    ticks = {f"{value:.3g}".replace("-", "−"): share for value, share in values}
    return marked_bar(colormaps[colors](np.linspace(0, 1, 17))[:, :3].tolist(), ticks, unit)


def marked_bar(colors: Sequence[tuple[float, float, float]], ticks: Mapping[str, float], unit: str) -> str:
    """Return a bar with marks.

    Args:
        colors: from left to right, RGB in [0, 1].
        ticks: place of each mark along the bar, from 0 to 1, by its label.
        unit: of the values.
    """
    stops = ", ".join(to_hex(color) for color in colors)
    first, *_, last = ticks
    marks = "".join(f'<span style="--at: {place:.4f}">{label}</span>' for label, place in ticks.items())
    return (
        f'<div class="color-bar"><i role="img" aria-label="Colours from {first} to {last} {unit}" '
        f'style="background: linear-gradient(to right, {stops})"></i><p>{marks}</p><p>{unit}</p></div>'
    )
