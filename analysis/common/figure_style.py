"""Style shared by all figures: colours that read on white and on black, and the writing of files."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from promptsr.support.files import replacing

INK = "#76808c"
"""Colour of text and axes: readable on white and on black."""
_DPI = 160
_PRINT_DPI = 300
_PEN = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pen")
"""The one thread that draws: matplotlib opens its fonts anew for every thread, and keeps up to 64 of them."""


def draw(figure: Figure, file: Any, **options: Any) -> None:
    """Call `figure.savefig` in the one drawing thread."""
    _PEN.submit(figure.savefig, file, **options).result()


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file, on a transparent ground and without needless margins."""
    file = io.BytesIO()
    draw(figure, file, format="png", dpi=_DPI, transparent=True, bbox_inches="tight", pad_inches=0.03)
    return file.getvalue()


def svg(figure: Figure) -> str:
    """Return a figure as an SVG element for HTML: no ground, no fonts, the same text on every run."""
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "promptsr", "svg.fonttype": "path"}):
        draw(figure, file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def publish(figure: Figure, *paths: Path) -> None:
    """Write a figure for a paper, on a white ground: PNG of 300 dots per inch, PDF or SVG by the suffix of each path.

    Raises:
        UserError: a path cannot be written.
    """
    for path in paths:
        with replacing(path) as temporary:
            draw(figure, temporary, dpi=_PRINT_DPI, facecolor="white")


def soften(axes: Axes, grid: Literal["both", "x", "y"] = "both") -> None:
    """Draw a pale grid behind the data, and no frame above and to the right."""
    axes.grid(axis=grid, color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def drawable(name: str) -> str:
    """Return a name with backslashes where it is not Unicode, which names of files need not be."""
    return name.encode(errors="backslashreplace").decode()


def show_plainly(axes: Axes) -> None:
    """Show the names in a legend as they are: to matplotlib, `$` begins and ends a formula."""
    legend = axes.get_legend()
    assert legend is not None
    for text in legend.get_texts():
        text.set_parse_math(False)


def draw_scale(axes: Axes, colors: str, low: float, high: float) -> None:
    """Draw a colour bar below a picture, just as wide."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    place, inch = axes.get_position(), 1 / float(figure.get_size_inches()[1])
    bar = figure.add_axes((place.x0, place.y0 - 0.2 * inch, place.width, 0.1 * inch))
    bar.imshow(np.linspace(0, 1, 256)[None], cmap=colors, aspect="auto", extent=(0, 1, 0, 1))
    bar.set_axis_off()
    middle = (low + high) / 2
    for part, align, value in ((0, "left", low), (0.5, "center", middle), (1, "right", high)):
        bar.text(part, -0.6, f"{value:.2g}", color=INK, fontsize=12, ha=align, va="top")
