"""Choice of a scale and of several models of it."""

import gradio as gr
from gradio.events import Dependency

from workbench.server.arguments import Whole
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.ui.components import PRIVATE, choice, toast


def scale_and_models(tab: str, scale: int, *, gradients: bool = False) -> tuple[gr.Radio, gr.Dropdown, Dependency]:
    """Add both to a tab.

    Args:
        tab: start of their ids.
        scale: chosen at first.
        gradients: offer only models that give gradients.

    Returns:
        The scale, the models, and the event of models being offered for another scale.
    """
    most = in_force().models_at_once
    chosen_scale = gr.Radio([("×2", 2), ("×3", 3), ("×4", 4)], value=scale, label="Scale", elem_id=f"{tab}-scale")
    chosen = choice(
        choices=models.of_scale(scale, gradients),
        value=models.pair(scale, gradients),
        multiselect=True,
        max_choices=most,
        label="Models",
        info=f"up to {most} of this scale" + (", with gradients" if gradients else ""),
        elem_id=f"{tab}-models",
    )

    def offer(scale: Whole) -> gr.Dropdown:
        return gr.Dropdown(choices=models.of_scale(scale, gradients), value=models.pair(scale, gradients))

    return chosen_scale, chosen, chosen_scale.input(toast(offer), chosen_scale, chosen, **PRIVATE)
