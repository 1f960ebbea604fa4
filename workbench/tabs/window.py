"""The window that the tab *Attribution* explains: chosen by numbers, by a click or by a suggestion."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.common.suggestions import KINDS, suggest
from analysis.comparison.compare import Comparing, compare
from analysis.lam.attribution import WINDOW
from workbench.server.arguments import Text, Texts, Whole
from workbench.server.device import on_device
from workbench.sessions import models
from workbench.sessions.attribution import INPUT, magnification, view
from workbench.sessions.compare import ask, fit
from workbench.sessions.uploads import sent_file
from workbench.ui import status
from workbench.ui.components import corrected, point


def fit_window(
    image: Text | None, way: Text, scale: Whole, x: Whole | None, y: Whole | None, size: Whole | None
) -> tuple[Any, ...]:
    """Return the picture with a window that lies in it, as close to this one as can be, and its corner."""
    if not image:
        return None, x, y
    question = ask(Path(image), way, None, scale)
    height, width = (scale * side - 1 for side in question.lr.shape[2:])  # one pixel to spare
    region = fit(x, y, min(size or WINDOW, scale * INPUT // 2), width, height)
    return view(question, scale, region), region.x, region.y


def move_window(
    image: Text | None, way: Text, scale: Whole, x: Whole | None, y: Whole | None, size: Whole | None
) -> list[Any]:
    """Return the picture with the window of these numbers, and the numbers that have to change for it to lie inside."""
    picture, *corner = fit_window(image, way, scale, x, y, size)
    return [picture, *corrected(corner, (x, y))]


def window_around(
    image: Text | None, way: Text, scale: Whole, window: Whole | None, event: gr.SelectData
) -> tuple[Any, ...]:
    """Return the window around the pixel that was clicked on."""
    size = window or WINDOW
    factor = magnification(ask(sent_file(image), way, None, scale), scale)
    x, y = (middle // factor - size // 2 for middle in point(event))
    return fit_window(image, way, scale, x, y, size)


@on_device
def suggest_window(
    kind: str, image: Text | None, way: Text, scale: Whole, names: Texts | None, window: Whole | None
) -> Iterator[tuple[Any, Any, Any, str]]:
    """Move the window to a place worth a look, of a kind of `analysis.common.suggestions`.

    The other arguments are as for `workbench.tabs.attribution.attribute`.

    Yields:
        What the page shows next: the whole picture with the window in a box, its corner, the status.

    Raises:
        UserError: an impossible argument, or as `analysis.common.suggestions.suggest`.
    """
    image = str(sent_file(image))
    networks = models.load_several(names or [], scale)
    question = ask(Path(image), way, None, scale)
    job = status.Job({network.name: float(network.parameters > 0) for network in networks})

    def tell(step: Comparing) -> tuple[Any, ...]:
        return *[gr.skip()] * 3, job.running(step.model, f"Upscaling with {step.model}", step.progress)

    needed = {"texture": networks[:1], "hardest": networks[-1:]}.get(kind, networks)
    found = yield from status.announced(compare(needed, question.lr, question.hr), tell)
    region = suggest(kind, question.lr, question.hr, [each.sr for each in found.results], window or WINDOW)
    placed = fit_window(image, way, scale, region.x, region.y, window)
    yield *placed, status.idle(f"{KINDS[kind]}: {placed[1]}, {placed[2]}. Press Attribute.")
