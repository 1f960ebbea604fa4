"""Tools for programs and assistants (Model Context Protocol), a call each; they are not shown on the page."""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from analysis.comparison.compare import compare
from analysis.lam.attribution import WINDOW, PathSettings
from analysis.lam.run import explain_window
from promptsr.imaging import encode
from promptsr.inference.upscaler import Upscaler
from promptsr.zoo.sr_model import common_scale
from workbench.server.arguments import Text, Texts, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.attribution import INPUT
from workbench.sessions.compare import ask, region_of
from workbench.sessions.pictures import new_file, new_folder, write_figure
from workbench.sessions.uploads import read_photograph, sent_file
from workbench.ui.components import RUN, TOOL, photo, toast
from workbench.ui.model_choice import model_choice
from workbench.ui.status import announced


def build() -> None:
    """Add them to the page."""
    with gr.Row(visible=False):
        image, _ = photo(label="Photograph")
        model = model_choice(models.usable, value=models.favourite(), label="Model")
        several = model_choice(models.usable, value=models.pair(4), multiselect=True, label="Models")
        x, y = (gr.Number(value, precision=0, label=axis) for value, axis in ((32, "x"), (32, "y")))
        picture, scores = gr.Image(format="png", type="filepath"), gr.JSON()
        for tool, inputs, output in (
            (enlarge, [image, model], picture),
            (score, [image, several], scores),
            (explain, [image, several, x, y], picture),
        ):
            gr.Button().click(toast(tool, TOOL), inputs, output, api_name=tool.__name__, **RUN)


@on_device
def enlarge(image: Text | None, model: Text) -> Iterator[Any]:
    """Enlarge a photograph with a super-resolution network.

    Args:
        image: the photograph, within the limits of the page.
        model: name of the network; the number after the x says how many times it enlarges.

    Returns:
        The result as PNG, which comes last.

    Raises:
        UserError: no such model, or an unusable photograph.
    """
    upscaler = Upscaler(models.load(model), max_output_pixels=in_force().output_pixels)
    result = yield from announced(upscaler.stream(read_photograph(image)), _quiet)
    file = new_file(new_folder(), f"{sent_file(image).stem}-{model}", ".png")
    encode(result.picture, file)
    yield str(file)


@on_device
def score(image: Text | None, names: Texts) -> Iterator[Any]:
    """Measure how well networks restore a photograph that was shrunk before.

    Args:
        image: the photograph, which is taken for the truth.
        names: of up to four networks of one scale.

    Returns:
        For each network PSNR (dB) and SSIM on the luma channel Y, MS-SSIM (of 176 pixels a side or more; 1 is best) and
        GMSD (0 is best) on grey, seconds, and parameters; they come last.

    Raises:
        UserError: no such model, models of several scales, or an unusable photograph.
    """
    networks = models.load_several(names)
    question = ask(sent_file(image), "shrink", None, common_scale(networks))
    comparison = yield from announced(compare(networks, question.lr, question.hr), _quiet)
    yield comparison.rows


@on_device
def explain(image: Text | None, names: Texts, x: Whole, y: Whole) -> Iterator[Any]:
    """Show which pixels of a photograph networks use for a window of 16 x 16 pixels: local attribution maps (LAM).

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
    networks = models.load_several(names)
    question = ask(sent_file(image), "enlarge", None, common_scale(networks))
    settings, region = PathSettings(), region_of(x, y, WINDOW)
    work = explain_window(networks, question.lr, region, side=INPUT, settings=settings, at_once=1)
    explanation = yield from announced(work, _quiet)
    name = sent_file(image).stem
    yield write_figure(explanation.figure(name), f"{name}-lam", [".png"])[0]


def _quiet(_: object) -> Any:
    return gr.skip()
