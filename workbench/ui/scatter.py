"""Points in a plane that can be clicked, hovered over, zoomed into, and hidden by label: HTML and what drives it."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

_SIDE = 1000
"""Side of the whole picture; `scatter.js` knows it too."""
_MARGIN = 24

ON_LOAD = (Path(__file__).parents[1] / "static" / "scatter.js").read_text(encoding="utf-8")
"""Send the number of a point that was clicked, or gone to by the arrow keys."""
_HINT = (
    "Click on a dot, or press the arrow keys to go from dot to dot. The wheel zooms, dragging moves, a double click "
    "shows all again."
)


def scatter(places: np.ndarray, labels: Sequence[int], names: Sequence[str], colors: Sequence[str], title: str) -> str:
    """HTML of points in a plane, with a legend whose entries hide and show what they stand for.

    Args:
        places: N x 2, in any unit; the plane is scaled to fit, both axes alike.
        labels: of each point, an index into `names`.
        names: of the labels.
        colors: of the labels, as in CSS.
        title: what the picture is, for those who cannot see it.
    """
    low, high = places.min(0), places.max(0)
    scale = (_SIDE - 2 * _MARGIN) / max(float((high - low).max()), 1e-12)
    middle = _SIDE / 2 + (places - (low + high) / 2) * scale * (1, -1)  # mathematics counts upwards
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" fill="{colors[label]}" data-point="{index}" data-label="{label}"/>'
        for index, ((x, y), label) in enumerate(zip(middle, labels, strict=True))
    )
    legend = "".join(
        f'<button type="button" data-label="{label}" aria-pressed="true"><i style="background: {colors[label]}"></i>'
        f"{escape(name)}</button>"
        for label, name in enumerate(names)
    )
    return (
        f'<div class="scatter"><svg viewBox="0 0 {_SIDE} {_SIDE}" tabindex="0" role="application" '
        f'aria-label="{escape(title)}. {_HINT}">'
        f'<g>{dots}</g><circle class="ring" cx="-99" cy="-99"/></svg><output></output><p class="hint">{_HINT}</p>'
        f'<nav aria-label="Show or hide">{legend}</nav></div>'
    )
