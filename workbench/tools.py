"""Tools for programs and assistants (Model Context Protocol), a call each; they are not shown on the page."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import gradio as gr

from analysis.lam.method import WINDOW
from promptsr.imaging import encode
from promptsr.inference.upscaler import Upscaler
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.uploads import read_photograph, sent_file
from workbench.sessions.upscale import new_folder
from workbench.tabs import attribution as attribution_tab
from workbench.tabs import compare as compare_tab
from workbench.ui.components import RUN, TOOL, choice, photo, toast
from workbench.ui.status import announced

_STEPS = 20


def build() -> None:
    """Adds them to the page."""
    names = models.usable()
    with gr.Row(visible=False):
        image, _ = photo(label="Photograph")
        model = choice(choices=names, value=models.favourite(), label="Model")
        several = choice(choices=names, value=models.pair(4), multiselect=True, label="Models")
        x, y = (gr.Number(value, precision=0, label=label) for value, label in ((32, "Left edge"), (32, "Upper edge")))
        picture, scores = gr.Image(format="png", type="filepath"), gr.JSON()
        for tool, inputs, output in (
            (enlarge, [image, model], picture),
            (score, [image, several], scores),
            (explain, [image, several, x, y], picture),
        ):
            gr.Button().click(toast(tool, TOOL), inputs, output, api_name=tool.__name__, **RUN)


@on_device
def enlarge(image: str | None, model: str) -> Iterator[Any]:
    """Enlarges a photograph with a super-resolution network.

    Args:
        image: the photograph, within the limits of the page.
        model: name of the network; the number after the x says how many times it enlarges.

    Returns:
        The result as PNG, which comes last.

    Raises:
        UserError: no such model, or an unusable photograph.
    """
    upscaler = Upscaler(models.load(model), max_output_pixels=in_force().output_pixels)
    with closing(upscaler.stream(read_photograph(image))) as steps:
        result = yield from announced(steps, lambda _: gr.skip())
    file = new_folder() / f"{sent_file(image).stem}-{model}.png"
    encode(result.picture, file)
    yield str(file)


def score(image: str | None, names: list[str]) -> Iterator[Any]:
    """Measures how well networks restore a photograph that was shrunk before.

    Args:
        image: the photograph, which is taken for the truth.
        names: of up to four networks of one scale.

    Returns:
        For each network PSNR (dB) and SSIM on the luma channel Y, seconds, and parameters; they come last.

    Raises:
        UserError: no such model, models of several scales, or an unusable photograph.
    """
    with closing(compare_tab.compare_models(image, "shrink", None, names, "auto")) as steps:
        for _, rows, _ in steps:
            yield rows


def explain(image: str | None, names: list[str], x: int, y: int) -> Iterator[Any]:
    """Shows which pixels of a photograph networks use for a window of 16 x 16 pixels: local attribution maps (LAM).

    Args:
        image: the photograph, which is enlarged.
        names: of up to four networks of one scale.
        x: left edge of the window in pixels of the result.
        y: its upper edge.

    Returns:
        A figure with a map and the diffusion index (DI) of each network, which comes last.

    Raises:
        UserError: no such model, models of several scales, a window outside, or an unusable photograph.
    """
    scale = models.scale_of(names[0]) if names else 0
    with closing(attribution_tab.attribute(image, "enlarge", scale, names, x, y, WINDOW, _STEPS)) as steps:
        for step in steps:
            shown = step[0]
            yield gr.skip()
    yield attribution_tab.draw_figure(shown)[0]
