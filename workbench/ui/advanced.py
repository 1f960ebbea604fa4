"""The drawer *Advanced* of what upscales photographs: size of the result, tiles, memory, self-ensemble, device and
precision."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import gradio as gr

from promptsr.inference.sizes import NO_WISH, Size
from promptsr.support.errors import UserError
from workbench.server.arguments import Flag, Real, Text, Whole, validated
from workbench.server.device import devices
from workbench.sessions.upscale import MEMORY, UpscaleSettings
from workbench.ui.components import PRIVATE, choice, on_choice, tile_size, toast

_SIZES = {
    "as the model enlarges": "model",
    "scale": "scale",
    "width, pixels": "width",
    "height, pixels": "height",
    "longest side, pixels": "max_side",
}
_AMOUNTS = {"width": 1920, "height": 1080, "max_side": 2048}
"""Numbers to begin with."""
DEFAULTS = ("auto", MEMORY, False, "cpu", "model", 2.0, False)
"""Values of the settings at first."""


class Drawer(NamedTuple):
    """Fields of the drawer."""

    keys: Mapping[str, Any]
    """Settings by the keys of addresses, in the order of the arguments of `settings_of`."""
    quality: gr.Slider


def drawer(tab: str) -> Drawer:
    """Add the closed drawer.

    Args:
        tab: start of the ids.
    """
    first, number = DEFAULTS[4:6]
    with gr.Accordion("Advanced", open=False, elem_id=f"{tab}-advanced"), gr.Group():
        with gr.Row():
            size = choice(
                choices=list(_SIZES.items()), value=first, label="Size of the result", elem_id=f"{tab}-size", scale=2
            )
            amount = gr.Number(number, label="Size", min_width=90, visible=False, elem_id=f"{tab}-amount")
        with gr.Row():
            tile = tile_size(f"{tab}-tile")
            memory = gr.Number(
                MEMORY,
                precision=0,
                label="Memory, MiB",
                info="for tiles of auto",
                min_width=120,
                elem_id=f"{tab}-memory",
            )
        ensemble = gr.Checkbox(
            False, label="Self-ensemble", info="eight passes: slower, a little better", elem_id=f"{tab}-ensemble"
        )
        device = choice(
            choices=devices(), value=devices()[0], label="Device", visible=len(devices()) > 1, elem_id=f"{tab}-device"
        )
        half = gr.Checkbox(
            False,
            label="Half precision",
            info="faster on a GPU",
            visible=len(devices()) > 1,
            elem_id=f"{tab}-half",
        )
        quality = gr.Slider(1, 100, 95, step=1, label="Quality of JPEG and WebP", elem_id=f"{tab}-quality")

    def offer(size: Text) -> Any:
        return gr.Number(visible=size != first)

    def suggest(size: Text) -> Any:
        return gr.Number(_AMOUNTS.get(size, number), visible=size != first)

    size.change(toast(offer), size, amount, **PRIVATE)
    on_choice(size, toast(suggest), size, amount)
    keys = {"tile": tile, "memory": memory, "ensemble": ensemble, "device": device, "size": size, "amount": amount}
    return Drawer({**keys, "half": half}, quality)


@validated
def settings_of(
    tile: Text, memory: Whole, self_ensemble: Flag, device: Text, size: Text, amount: Real, half: Flag
) -> UpscaleSettings:
    """Read the fields.

    Raises:
        UserError: an impossible value.
    """
    if size not in list(_SIZES.values()):
        raise UserError(f"There is no size {size}: choose one of {', '.join(_SIZES.values())}.")
    wish = NO_WISH
    if size == "scale":
        wish = Size(scale=amount)
    elif size != "model":
        if amount != int(amount):
            raise UserError(f"The {size} must be a whole number of pixels, not {amount}.")
        wish = Size(**{size: int(amount)})
    return UpscaleSettings(tile, memory, self_ensemble, device, wish, half)
