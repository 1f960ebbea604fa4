"""The tab *Architecture*: a photograph walks through the network, and every box shows what leaves it."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import gradio as gr
from pydantic import Field

from analysis.common.figure_style import png
from analysis.tour.boxes import NOTEBOOK, Box, boxes
from analysis.tour.figure import draw_view
from analysis.tour.walk import Stop, Tour, shrink, walk
from promptsr.imaging import inspect
from promptsr.support.errors import UserError
from workbench.server.arguments import Text, Whole
from workbench.server.device import on_device
from workbench.sessions import models
from workbench.sessions.pictures import new_folder
from workbench.sessions.places import Place
from workbench.sessions.uploads import read_photograph, sent_file
from workbench.tabs.links import TabSettings, Values, onward
from workbench.ui.components import (
    AGAIN,
    CLICK,
    PRIVATE,
    event_value,
    gallery,
    nothing,
    on_choice,
    photo,
    point,
    samples,
    toast,
)
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import model_choice
from workbench.ui.network_diagram import ON_LOAD, diagram
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import copy_link
from workbench.ui.status import definitions
from workbench.ui.tab_header import tab

TAB = "architecture"
LONGEST_SIDE = 128
"""Photographs are scaled down to this many pixels: the similarity maps of a block are stored."""
_SAMPLE_SIDE = SIDES[2]
"""Pixels that fill the place of the photograph: a smaller one is not enlarged, or clicks would miss."""
_FIRST_BOX = "encoder"
_ORDERED: dict[str, Any] = {"concurrency_id": "tour", "concurrency_limit": 1}
"""Arguments of events that set what is looked at: they are answered in the order in which people acted, or on a busy
machine the answer to a new network could come after that to a click, and undo it."""
_LATEX: list[dict[str, str | bool]] = [{"left": "$$", "right": "$$", "display": True}]
_NOTEBOOK = Path(__file__).parents[2] / NOTEBOOK
"""There in a checkout alone."""
_JUPYTER = "http://localhost:8888/lab/tree/"
"""Address of the JupyterLab that `make lab` starts on the visitor's own machine."""
_UNTRAINED = "> **Untrained**: no weights come with this network yet; the pictures show what chance makes of them."


def build() -> TabSettings:
    """Add the tab to the page."""
    first, sample = models.first_network(), _sample()
    with tab(TAB) as opened:
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Click on a pixel to follow it", value=sample, height=280, elem_id="tour-image")
            taken = samples(image, _SAMPLE_SIDE)
            model = model_choice(models.network_choices, value=first, label="Network", elem_id="tour-model")
            buttons = onward(TAB)
            copy_link()
            if _NOTEBOOK.exists():
                gr.set_static_paths([_NOTEBOOK])
                gr.DownloadButton("Download notebook 01", str(_NOTEBOOK), size="sm", elem_id="tour-notebook")
        with gr.Column(scale=5, min_width=320, elem_id="tour-stage"):
            picture = gr.HTML(
                diagram(models.network(first).config, 1, 1, _FIRST_BOX),
                js_on_load=ON_LOAD,
                apply_default_css=False,
                elem_id="tour-diagram",
            )
            text = gr.Markdown("", latex_delimiters=_LATEX, elem_id="tour-text", container=True)
            views = gallery("What is seen there", "tour-views")
            box = gr.Textbox(_FIRST_BOX, label="Box", visible="hidden", elem_id="tour-box")
            group, block, x, y = (
                gr.Number(number, label=name, precision=0, visible="hidden", elem_id=f"tour-{name}")
                for name, number in zip(("group", "block", "x", "y"), (1, 1, *_middle(sample)), strict=True)
            )

    settings = TabSettings(
        TAB,
        {"photo": image, "model": model, "group": group, "block": block, "box": box, "x": x, "y": y},
        offers={
            "group": lambda values: _counted(values["model"])[0],
            "block": lambda values: _counted(values["model"])[1],
        },
        place=_case,
        buttons=buttons,
        here_of=[image, model, x, y],
        here=_here,
    )
    walking = toast(architecture), list(settings.asked.values()), [text, views]
    picked = picture.click(toast(_pick), model, [picture, box, group, block], **CLICK, **_ORDERED)
    picked.then(*walking, api_name="architecture", **{**AGAIN, "api_visibility": "public"})
    restarted = on_choice(model, toast(_restart), model, [picture, box, group, block], **_ORDERED)
    restarted.success(*walking, **AGAIN)
    image.select(toast(point), None, [x, y], **CLICK, **_ORDERED).then(*walking, **AGAIN)
    for new_image in (sent.success, taken.load_input_event.then):
        new_image(toast(_middle), image, [x, y], **PRIVATE, **_ORDERED).success(*walking, **AGAIN)
    shown = [picture, *walking[2]]
    opened.select(toast(_opened), [text, settings.question, *settings.asked.values()], shown, **AGAIN)
    settings.answer(_architecture_asked, shown, **AGAIN)
    return settings


def warm() -> None:
    """Make the result that the tab opens with."""
    _first_result()


def _sample() -> str:
    return str(sample_paths(_SAMPLE_SIDE)[1])


def _first_question() -> tuple[str, str, int, int, str, int, int]:
    return _sample(), models.first_network(), 1, 1, _FIRST_BOX, *_middle(_sample())


_first_result = FirstResult(lambda: architecture(*_first_question()))


@on_device
def architecture(
    image: Text | None,
    model: Text,
    group: Whole,
    block: Whole,
    box: Text,
    x: Whole,
    y: Whole,
) -> tuple[str, list[tuple[str, str]]]:
    """Show one box at work on a photograph.

    Args:
        image: path of the file that was sent.
        model: name of a PromptSR network.
        group: residual group, from 1.
        block: cascade prompting block in the group, from 1.
        box: key of the box, see `analysis.tour.boxes`.
        x: column of the pixel to follow, in the photograph as it was sent.
        y: its row.

    Returns:
        What is to be said about the box (Markdown), and its pictures with their titles.

    Raises:
        UserError: any of these is impossible.
    """
    image = str(sent_file(image))
    network = models.network(model)
    if box not in [each.key for each in boxes(network.config)]:
        known = ", ".join(each.key for each in boxes(network.config))
        raise UserError(f"This network has no box {box}: choose one of {known}.")
    tour = _walked(image, model, group, block, x, y)
    stop = tour.stops[box]
    folder = new_folder()
    pictures = []
    for number, view in enumerate(stop.views):
        file = folder / f"{box}-{number}.png"
        file.write_bytes(png(draw_view(view, tour)))
        pictures.append((str(file), view.title))
    return _describe(stop, models.known()[model].has_weights), pictures


# A walk takes some megabytes, so the last ones of all sessions are kept and not one for each.
@lru_cache(maxsize=4)
def _walked(image: str, model: str, group: int, block: int, x: int, y: int) -> Tour:
    """Walk a photograph through the network; a second box of the same walk costs nothing."""
    picture = read_photograph(image)
    small = shrink(picture.to_tensor(), LONGEST_SIDE)
    focus = (x * small.shape[3] // picture.width, y * small.shape[2] // picture.height)
    return walk(models.network(model), small, group=group - 1, block=block - 1, focus=focus)


def _architecture_asked(
    image: Text | None, model: Text, group: Whole, block: Whole, box: Text, x: Whole, y: Whole
) -> tuple[str, str, list[tuple[str, str]]]:
    """Show a box, and the diagram in which it is chosen."""
    shown = architecture(image, model, group, block, box, x, y)
    return diagram(models.network(model).config, group, block, box), *shown


def _opened(
    text: Annotated[str, Field(max_length=100_000)] | None,
    asked: Any,
    image: Text | None,
    model: Text,
    group: Whole,
    block: Whole,
    box: Text,
    x: Whole,
    y: Whole,
) -> tuple[str, str, list[tuple[str, str]]]:
    """Answer what is set when the tab is opened, if nothing has been answered or asked yet."""
    if text or asked is not None:
        raise nothing()
    question = image, model, group, block, box, x, y
    if question != _first_question():
        return _architecture_asked(*question)
    return diagram(models.network(model).config, group, block, box), *_first_result()


def _case(place: Place) -> Values:
    """Return what opens a place here: the pixel in its middle."""
    x, y = place.pixel
    first = {"group": 1, "block": 1, "box": _FIRST_BOX}
    return {"photo": str(place.image), "model": place.network, **first, "x": x, "y": y}


def _here(image: Text | None, name: Text, x: Whole | None, y: Whole | None) -> Place:
    """Return the place around the pixel."""
    scale = models.scale_of(name)
    x, y = (None if start is None else scale * start + scale // 2 for start in (x, y))
    return Place.around(image, "enlarge", models.with_bicubic(name), x, y)


def _describe(stop: Stop, trained: bool) -> str:
    box, cost = stop.box, stop.cost
    of = f", whole {box.part_of}" if box.part_of else ""
    facts = {
        "In": " × ".join(map(str, stop.input_shape)),
        "Out": " × ".join(map(str, stop.output_shape)),
        f"Parameters{of}": f"{cost.parameters:,}",
        f"Multiply-adds{of}": f"{cost.multiply_adds / 1e6:,.1f} million",
        **({"In the paper": f"eq. {box.numbers}"} if box.numbers else {}),
    }
    return "\n\n".join(
        [
            f"## {box.title}",
            box.sentence,
            f"$${box.equation}$$",
            definitions(facts),
            "" if trained else _UNTRAINED,
            _in_notebook(box),
        ]
    )


def _in_notebook(box: Box) -> str:
    """Return the link to the cells of the box; it works where JupyterLab runs, and names the place where none does."""
    link = f"{_JUPYTER}{NOTEBOOK}#{box.section.replace(' ', '-')}"
    return f"[Open in notebook]({link}): 01, section {box.section} (`make lab` first)"


def _pick(model: Text, event: gr.EventData) -> tuple[str, str, int, int]:
    box, group, block = (
        event_value(event, "box", str),
        event_value(event, "group", int),
        event_value(event, "block", int),
    )
    return diagram(models.network(model).config, group, block, box), box, group, block


def _restart(model: Text) -> tuple[str, str, int, int]:
    return diagram(models.network(model).config, 1, 1, _FIRST_BOX), _FIRST_BOX, 1, 1


def _counted(model: Text) -> tuple[gr.Number, gr.Number]:
    config = models.network(model).config
    return gr.Number(1, minimum=1, maximum=config.groups), gr.Number(1, minimum=1, maximum=config.blocks_per_group)


def _middle(image: Text | None) -> tuple[int, int]:
    header = inspect(sent_file(image))
    return header.width // 2, header.height // 2
