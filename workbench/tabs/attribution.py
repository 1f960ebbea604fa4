"""The tab *Attribution*: click on a picture, and see which input pixels made that place, for up to four models."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.comparison.compare import Comparing, compare
from analysis.lam.attribution import PathSettings
from analysis.lam.backward_memory import check_memory
from analysis.lam.figure import AREA_LEVEL
from analysis.lam.method import WINDOW, LocalAttributionMap
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import UserError
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.attribution import INPUT, Attributed, cut, keep_maps, magnification, view
from workbench.sessions.attribution_table import HELP, numbers
from workbench.sessions.compare import ask, fit, keep, region_of
from workbench.sessions.places import Place
from workbench.sessions.uploads import sent_file
from workbench.tabs.links import Destination, Source, new_question, onward
from workbench.ui import status
from workbench.ui.components import HEAVY, PRIVATE, RUN, choice, gallery, photo, picture, point, samples, toast
from workbench.ui.samples import SIDES
from workbench.ui.tab_header import tab

TAB = "lam"
PREVIEW = 10
"""Steps of the first maps: the diffusion index hardly changes after them."""
_STEPS = 50
_AT_ONCE = 1
"""Steps in one pass: on a CPU more of them at once take more memory and no less time."""
_SAMPLE_SIDE = SIDES[1]
"""Pixels that are shrunk first, so that networks take seconds for them."""
_SCALE = 4
_STRENGTH = 0.9
_WAYS = [("Test: shrink, then restore (gives scores)", "shrink"), ("Just enlarge", "enlarge")]


def build() -> tuple[Source, Destination]:
    """Adds the tab to the page."""
    most = in_force().models_at_once
    with tab(TAB):
        shown, asked = gr.State(None), gr.State(None)
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Photograph", height=220, elem_id="lam-image")
            taken = samples(image, _SAMPLE_SIDE)
            way = gr.Radio(_WAYS, value="shrink", label="Mode", elem_id="lam-way")
            with gr.Group():
                scale = gr.Radio([("×2", 2), ("×3", 3), ("×4", 4)], value=_SCALE, label="Scale", elem_id="lam-scale")
                chosen = choice(
                    choices=models.of_scale(_SCALE, gradients=True),
                    value=models.pair(_SCALE, gradients=True),
                    multiselect=True,
                    max_choices=most,
                    label="Models",
                    info=f"up to {most} of this scale, with gradients",
                    elem_id="lam-models",
                )
        with gr.Column(scale=5, min_width=320):
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=280):
                    whole = picture("The place to explain", show_label=False, elem_id="lam-whole")
                with gr.Column(scale=3, min_width=240):
                    news = gr.HTML(
                        status.idle("Choose a photograph, click on a place in it, and press Attribute."),
                        elem_id="lam-status",
                    )
                    with gr.Group(), gr.Row():
                        x, y, window, steps = (
                            gr.Number(value, precision=0, label=label, min_width=140, elem_id=f"lam-{name}")
                            for name, label, value in (
                                ("x", "Left edge", None),
                                ("y", "Upper edge", None),
                                ("window", "Window", WINDOW),
                                ("steps", "Steps", _STEPS),
                            )
                        )
                    with gr.Row():
                        start = gr.Button("Attribute", variant="primary", min_width=100, elem_id="lam-start")
                        cancel = gr.Button("Cancel", min_width=100, elem_id="lam-cancel")
                    buttons = onward(TAB)
            table = numbers("lam-table")
            with gr.Column(elem_id="lam-results"):
                gr.Markdown(HELP, elem_id="lam-help")
                with gr.Accordion("The window of the result"):
                    crops = gallery("The window", "lam-crops")
                with gr.Accordion("Local attribution maps: what made the window, in colour over the input in grey"):
                    strength = gr.Slider(0, 1, _STRENGTH, step=0.05, label="Strength", elem_id="lam-strength")
                    maps = gallery("Local attribution maps", "lam-maps")
                with gr.Accordion("Contribution area: input pixels above a level of the map"):
                    level = gr.Slider(0.01, 0.5, AREA_LEVEL, step=0.01, label="Level", elem_id="lam-level")
                    areas = gallery("Contribution areas", "lam-areas")
                files = gr.Files(label="Maps (.npz) and numbers (JSON)", interactive=False, elem_id="lam-files")
                draw = gr.Button("Draw the figure for a paper", elem_id="lam-draw")
                figure = picture("Figure", elem_id="lam-figure")
                drawn = gr.Files(label="Figure", interactive=False, elem_id="lam-drawn")

    question = [image, way, scale, chosen, x, y, window, steps]
    outputs = [shown, whole, table, files, news]
    run = start.click(toast(attribute), question, outputs, api_name="lam", **RUN)
    # Once: server and browser both tell of the change.
    opened = asked.change(toast(_attribute_asked), asked, outputs, trigger_mode="once", **PRIVATE, **HEAVY)
    cancel.click(lambda: status.idle("Stopped."), None, news, cancels=[run, opened], queue=False, **PRIVATE)
    for each in (run, opened):
        # To Gradio a cancelled run may or may not be a failed one.
        each.failure(lambda: status.idle("Stopped."), None, news, **PRIVATE)

    light = {"show_progress": "hidden", "trigger_mode": "always_last"}
    overlaying = toast(draw_maps), [strength, level, shown], [maps, areas]
    gr.on([strength.input, level.input], *overlaying, api_name="lam_overlay", **light)
    shown.change(*overlaying, **PRIVATE)
    shown.change(toast(_begin_with), shown, [crops, figure, drawn], **PRIVATE)
    draw.click(toast(draw_figure), shown, [figure, drawn], api_name="lam_figure", show_progress="minimal")

    placing = toast(_place), [image, way, scale, x, y, window], [whole, x, y]
    gr.on([x.submit, y.submit, window.submit, x.blur, y.blur, window.blur, way.input], *placing, **PRIVATE)
    clicked = whole.select(toast(_around), [image, way, scale, window], [whole, x, y, news], **PRIVATE)
    clicked.success(toast(_ask_again), [*question, shown], asked, **PRIVATE)
    scale.input(toast(_offer_models), scale, chosen, **PRIVATE).then(*placing, **PRIVATE)
    for new_image in (sent.success, taken.load_input_event.then):
        new_image(lambda: (None, None), None, [x, y], **PRIVATE).then(*placing, **PRIVATE)
    return Source(buttons, [image, way, chosen, x, y, window], _here), Destination(TAB, [*question, asked], _case)


@on_device
def attribute(
    image: str | None, way: str, scale: int, names: list[str] | None, x: int, y: int, window: int, steps: int
) -> Iterator[tuple[Any, Any, Any, Any, str]]:
    """Attributes a window of the result to the pixels of the input, for several models of one scale.

    Args:
        image: path of the file that was sent.
        way: "shrink" takes it for the HR image and shrinks it first; "enlarge" upscales it as it is, without scores.
        scale: of the models.
        names: of the models, up to four.
        x: left edge of the window in output pixels.
        y: its upper edge.
        window: its side.
        steps: from the blurred input to the sharp one.

    Yields:
        What the page shows next: the session's maps, the whole picture with the window in a box, the rows of the
        table, the files, the status. Maps at 10 steps come first, then those that were asked for.

    Raises:
        UserError: any of these is impossible, or an image too large.
    """
    image = str(sent_file(image))
    if not 1 <= steps <= in_force().steps:
        raise UserError(f"The number of steps must be 1 to {in_force().steps}, not {steps}.")
    networks = models.load_several(names or [], scale)
    methods = [LocalAttributionMap(network) for network in networks]
    place = region_of(x, y, window)
    question = ask(Path(image), way, None, scale)
    patch = cut(question, scale, place)
    height, width = patch.lr.shape[2:]
    for network in networks:
        check_memory(network, height, width, _AT_ONCE)
    quiet = [gr.skip()] * 3
    whole = view(question, scale, place)
    yield gr.skip(), whole, [], None, status.running("Upscaling")

    def upscaling(step: Comparing) -> tuple[Any, ...]:
        return gr.skip(), *quiet, status.running(f"Upscaling with {step.model}", step.progress)

    with closing(compare(networks, patch.lr, patch.hr, "whole")) as work:
        comparison = yield from status.announced(work, upscaling)
    compared = keep(Path(image).stem, comparison, question.metadata)
    part = " around the window, the rest is dimmed" if patch.lr.shape != question.lr.shape else ""
    facts = {"Window": f"{window} × {window} at {x}, {y}", "Input": f"{width} × {height}{part}"}
    for each in sorted({min(PREVIEW, steps), steps}):
        # With few steps the rule of LAM overstates how far the network looks; the trapezoid rule comes nearer.
        settings = PathSettings(each, rule="right" if each == steps else "trapezoid")
        found = []
        for method in methods:
            text = f"{'Preview' if each < steps else 'Refining' if steps > PREVIEW else 'Attributing'}: {method.name}"
            yield gr.skip(), *quiet, status.running(text)
            with closing(method.stream(patch.lr, patch.region, settings, at_once=_AT_ONCE)) as passes:

                def attributing(step: Progress, text: str = text) -> tuple[Any, ...]:
                    return gr.skip(), *quiet, status.running(text, step, "steps")

                found.append((yield from status.announced(passes, attributing)))
        done = each == steps
        shown = keep_maps(compared, found, patch, preview=not done)
        ending = status.done(facts) if done else status.running(f"Refining to {steps} steps")
        yield shown, whole, shown.rows, shown.files if done else None, ending


def _attribute_asked(asked: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    _, *question = asked
    yield from attribute(*question)


def draw_maps(
    strength: float, level: float, shown: Attributed | None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The maps over the input, and the contribution areas; nothing is computed again.

    Args:
        strength: of the colour of the maps, from 0 (the input alone) to 1.
        level: of the map, above which pixels belong to the contribution area.
        shown: the session's maps.

    Raises:
        UserError: nothing has been attributed yet.
    """
    return _there(shown).draw(strength, level)


def draw_figure(shown: Attributed | None) -> tuple[str, list[str]]:
    """All models as a figure for a paper: to look at, and as PNG and PDF.

    Raises:
        UserError: nothing has been attributed yet.
    """
    files = _there(shown).figures()
    return files[0], files


def _case(place: Place) -> list[Any]:
    """Return the inputs that open a place here: a window in its middle, for its models with gradients.

    Raises:
        UserError: none of them has.
    """
    image, way, scale, region = str(place.image), place.way, place.scale, place.region
    usable = [name for name in place.models if models.load(name).differentiable]
    if not usable:
        names = ", ".join(place.models)
        raise UserError(f"None of {names} gives gradients, so there is no LAM: choose a PyTorch model.")
    size = min(WINDOW, region.size)
    left, top = (start + (region.size - size) // 2 for start in (region.x, region.y))
    _, x, y = _place(image, way, scale, left, top, size)
    chosen = gr.Dropdown(choices=models.of_scale(scale, gradients=True), value=usable, multiselect=True)
    asked = new_question(image, way, scale, usable, x, y, size, _STEPS)
    return [image, way, scale, chosen, x, y, size, _STEPS, asked]


def _here(
    image: str | None, way: str, names: list[str] | None, x: int | None, y: int | None, window: int | None
) -> Place:
    """Return the place around the window."""
    size = window or WINDOW
    x, y = (None if start is None else start + size // 2 for start in (x, y))
    return Place.around(image, way, names or [], x, y)


def _begin_with(shown: Attributed) -> tuple[list[tuple[str, str]], None, None]:
    """The window of all results; figures of other maps go."""
    return shown.compared.look(shown.others[0]["region"])[1], None, None


def _place(image: str | None, way: str, scale: int, x: int | None, y: int | None, size: int | None) -> tuple[Any, ...]:
    """The picture with a window that lies in it, as close to this one as can be, and its corner."""
    if not image:
        return None, x, y
    question = ask(Path(image), way, None, scale)
    height, width = (scale * side - 1 for side in question.lr.shape[2:])  # one pixel to spare
    region = fit(x, y, min(size or WINDOW, scale * INPUT // 2), width, height)
    return view(question, scale, region), region.x, region.y


def _around(image: str | None, way: str, scale: int, window: int | None, event: gr.SelectData) -> tuple[Any, ...]:
    """The window around the pixel that was clicked on."""
    size = window or WINDOW
    factor = magnification(ask(sent_file(image), way, None, scale), scale)
    x, y = (middle // factor - size // 2 for middle in point(event))
    return *_place(image, way, scale, x, y, size), status.idle("Press Attribute.")


def _ask_again(*question: Any) -> Any:
    """Once there are maps, a click is enough."""
    *asked, shown = question
    return gr.skip() if shown is None else new_question(*asked)


def _offer_models(scale: int) -> gr.Dropdown:
    return gr.Dropdown(choices=models.of_scale(scale, gradients=True), value=models.pair(scale, gradients=True))


def _there(shown: Attributed | None) -> Attributed:
    if shown is None:
        raise UserError("There is no map yet: choose a photograph, click on a place of it, and press Attribute.")
    return shown
