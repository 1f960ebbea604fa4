"""The magnifier of the tab *Upscale*: the same square of the photograph and of both results."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

from promptsr.support.errors import UserError
from workbench.server.arguments import Whole
from workbench.sessions.upscale import START_ZOOM, ZOOM, Shown
from workbench.tabs.links import onward
from workbench.ui.components import LIGHT, PRIVATE, nothing, picture, toast
from workbench.ui.frame import around, frame


@dataclass(frozen=True)
class Magnifier:
    """Its parts."""

    result: gr.Image
    """The result, to find a place in it."""
    x: gr.Number
    y: gr.Number
    zoom: gr.Slider
    buttons: dict[str, gr.Button]
    """They hand the place on."""
    _events: tuple[Any, ...]

    def follow(self, placed: Dependency) -> None:
        """Magnify what the fields say after an event."""
        for event in self._events:
            placed.then(*event, **PRIVATE)


def magnifier(tab: str, shown: gr.State) -> Magnifier:
    """Add the magnifier to a tab.

    Args:
        tab: its id; the slider of both results is `{tab}-slider`.
        shown: what is magnified.
    """
    with gr.Accordion("Magnifier", elem_id="magnifier"):
        with gr.Row(equal_height=False):
            result = picture("Where to look closely", elem_id="magnifier-result")
            with gr.Column(min_width=200):
                zoom = gr.Slider(1, ZOOM, START_ZOOM, step=1, label="Zoom", elem_id="magnifier-zoom")
                with gr.Group(), gr.Row():
                    x, y = (
                        gr.Number(precision=0, label=axis, min_width=90, elem_id=f"magnifier-{axis}") for axis in "xy"
                    )
                square = frame([f"{tab}-slider", "magnifier-result"], x, y)
                buttons = onward(tab)
        with gr.Row(equal_height=False):
            closeups = [picture(n, elem_classes="closeup") for n in ("Input", "Comparison", "Result")]
    magnifying = toast(magnify), [x, y, zoom, shown], closeups
    framing = toast(_framed), [x, y, zoom, shown], square
    moves = [square.select, zoom.input, x.submit, y.submit, x.blur, y.blur]
    gr.on(moves, *magnifying, api_name="magnify", **LIGHT)
    gr.on(moves, *framing, **PRIVATE)
    return Magnifier(result, x, y, zoom, buttons, (magnifying, framing))


def magnify(x: Whole | None, y: Whole | None, zoom: Whole, shown: Shown | None) -> list[str]:
    """Show the same square of the input, the comparison and the result, around one pixel of the result.

    Raises:
        UserError: nothing has been upscaled yet, or the pixel lies outside.
    """
    if shown is None or x is None or y is None:
        raise UserError("There is nothing to magnify yet: upscale a photograph, then click on the result.")
    return shown.closeups(x, y, zoom)


def _framed(x: Whole | None, y: Whole | None, zoom: Whole, shown: Shown | None) -> dict[str, Any]:
    """Return the frame around what `magnify` shows."""
    try:
        if shown is None or x is None or y is None:
            raise nothing()
        width, height = shown.size
        return around(x, y, *shown.square(x, y, zoom), height, width, shown.step)
    except UserError as error:  # which `magnify` tells
        raise nothing() from error
