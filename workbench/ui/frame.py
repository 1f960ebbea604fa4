"""A frame over pictures that says which square of them is magnified, moved by clicks and by the arrow keys."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

_ON_LOAD = (Path(__file__).parents[1] / "static" / "frame.js").read_text(encoding="utf-8")


def frame(pictures: Sequence[str], x: gr.Number, y: gr.Number) -> gr.HTML:
    """Return a sentence that says how to move the frame, and draws it.

    Its value is that of `around`. When the frame has been moved, `x` and `y` hold the place, and it is a `select`.

    Args:
        pictures: ids of pictures and sliders of the same image.
        x: field of the magnified place in pixels of the image.
        y: likewise.
    """
    return gr.HTML(
        None,
        html_template='<p class="hint">Click on a picture, or type x and y. The arrow keys move a frame by a pixel of '
        "the photograph, with Shift by a quarter of it.</p>",
        js_on_load=_ON_LOAD,
        apply_default_css=False,
        pictures=list(pictures),
        x=x.elem_id,
        y=y.elem_id,
    )


def around(x: int, y: int, rows: slice, columns: slice, height: int, width: int, step: int) -> dict[str, Any]:
    """Return the value of a frame.

    Args:
        x: place that is magnified.
        y: likewise.
        rows: of the image that are magnified with it.
        columns: likewise.
        height: of the image; `width` likewise.
        step: pixels between squares that differ.
    """
    wide, high = columns.stop - columns.start, rows.stop - rows.start
    square = {"left": columns.start, "top": rows.start, "wide": wide, "high": high}
    return {"x": x, "y": y, **square, "width": width, "height": height, "step": step}
