"""The tab *Attribution*: click on a picture, and see which input pixels made that place, for up to four models."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.comparison.compare import Comparing
from analysis.lam.attribution import WINDOW, PathSettings
from analysis.lam.figure import AREA_LEVEL
from analysis.lam.run import Attributing, Explanation, explain_window
from promptsr.support.errors import UserError
from workbench.server.arguments import Real, Text, Texts, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.attribution import INPUT, Attributed, cut, keep_maps, magnification, view
from workbench.sessions.compare import ask, fit, region_of
from workbench.sessions.places import Place
from workbench.sessions.uploads import sent_file
from workbench.tabs.links import Destination, Source, answered, new_question, onward
from workbench.ui import status
from workbench.ui.components import (
    CLICK,
    HEAVY,
    LIGHT,
    PRIVATE,
    RUN,
    gallery,
    photo,
    picture,
    point,
    run,
    samples,
    stoppable,
    table_of,
    toast,
)
from workbench.ui.model_choice import scale_and_models
from workbench.ui.samples import SIDES
from workbench.ui.start_bar import belong, press, start_bar
from workbench.ui.tab_header import tab

TAB = "lam"
_PREVIEW = PathSettings(10, rule="trapezoid")
"""Settings of the first maps. With few steps LAM's own rule overstates how far a network looks; this one less."""
_STEPS = 50
_AT_ONCE = 1
"""Steps in one pass: on a CPU more of them at once take more memory and no less time."""
_SAMPLE_SIDE = SIDES[1]
"""Pixels that are shrunk first, so that networks take seconds for them."""
_SCALE = 4
_STRENGTH = 0.9
_WAYS = [("Test: shrink, then restore (gives scores)", "shrink"), ("Just enlarge", "enlarge")]

_HELP = """**How to read it.** LAM marks the input pixels that made the window: the redder, the more.
The *diffusion index* (DI) says how widely they are spread, 0 if one pixel does it all and 100 if all do the same; a
larger one means that the network draws on more of the image, which need not make a better picture. The *completeness
gap* is by how much the attributions miss what they must add up to, the change of the window along the path from a
blurred input to the sharp one: take more steps where it is large. PromptSR sorts pixels into categories, so some gap
remains."""
# The browser renders the table, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Model</th><th>DI</th><th>Completeness gap</th>
<th>Pixels above 1 %</th><th>PSNR-Y, dB</th><th>SSIM-Y</th><th>Steps</th><th>Time, s</th></tr></thead><tbody>${
value.map(row => {
  const text = (number, digits, sign = '', unit = '') =>
    number === null ? '–' : (number > 0 ? sign : '') + number.toFixed(digits) + unit;
  const percent = (share, digits, sign) => text(share === null ? null : 100 * share, digits, sign, ' %');
  return `<tr><th>${new Option(row.model).innerHTML}</th><td><b>${text(row.di, 2)}</b></td>
<td>${percent(row.completeness_gap, 2, '+')}</td><td>${percent(row.activated['0.01'], 1)}</td>
<td>${text(row.psnr_y, 2)}</td><td>${text(row.ssim_y, 4)}</td>
<td>${row.settings.steps}${row.preview ? ' (preview)' : ''}</td><td>${row.seconds.toFixed(1)}</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def build() -> tuple[Source, Destination]:
    """Add the tab to the page."""
    with tab(TAB):
        shown, asked = gr.State(None), gr.State(None)
        _, start, cancel, news = start_bar(
            TAB, "Attribute", "Choose a photograph, click on a place in it, and press Attribute."
        )
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Photograph", height=220, elem_id="lam-image")
            taken = samples(image, _SAMPLE_SIDE)
            way = gr.Radio(_WAYS, value="shrink", label="Mode", elem_id="lam-way")
            with gr.Group():
                scale, chosen, offered = scale_and_models("lam", _SCALE, gradients=True)
        with gr.Column(scale=5, min_width=320):
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=280):
                    whole = picture("The place to explain", show_label=False, elem_id="lam-whole")
                with gr.Column(scale=3, min_width=240):
                    with gr.Group(), gr.Row():
                        x, y, window, steps = (
                            gr.Number(value, precision=0, label=label, min_width=140, elem_id=f"lam-{name}")
                            for name, label, value in (
                                ("x", "x", None),
                                ("y", "y", None),
                                ("window", "Window", WINDOW),
                                ("steps", "Steps", _STEPS),
                            )
                        )
                    buttons = onward(TAB)
            table = table_of(_TABLE, "lam-table")
            with gr.Column(elem_id="lam-results"):
                gr.Markdown(_HELP, elem_id="lam-help")
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
    belong(TAB, question)
    ran = start.click(run(attribute, news), question, outputs, api_name="lam", **RUN)
    opened = answered(asked, run(_attribute_asked, news), asked, outputs, **CLICK, **HEAVY)
    stoppable(cancel, news, ran, opened)

    overlaying = toast(draw_maps), [strength, level, shown], [maps, areas]
    gr.on([strength.input, level.input], *overlaying, api_name="lam_overlay", **LIGHT)
    shown.change(*overlaying, **PRIVATE)
    shown.change(toast(_begin_with), shown, [crops, figure, drawn], **PRIVATE)
    draw.click(toast(draw_figure), shown, [figure, drawn], api_name="lam_figure", show_progress="minimal")

    placing = toast(_place), [image, way, scale, x, y, window], [whole, x, y]
    gr.on([x.submit, y.submit, window.submit, x.blur, y.blur, window.blur, way.input], *placing, **PRIVATE)
    clicked = whole.select(toast(_around), [image, way, scale, window], [whole, x, y], **CLICK)
    clicked.success(toast(_ask_again), [*question, shown], asked, **PRIVATE)
    offered.then(*placing, **PRIVATE)
    _, placed = (
        new_image(lambda: (None, None), None, [x, y], **PRIVATE).then(*placing, **PRIVATE)
        for new_image in (sent.success, taken.load_input_event.then)
    )
    placed.then(**press(TAB))
    return Source(buttons, [image, way, chosen, x, y, window], _here), Destination(TAB, [*question, asked], _case)


@on_device
def attribute(
    image: Text | None, way: Text, scale: Whole, names: Texts | None, x: Whole, y: Whole, window: Whole, steps: Whole
) -> Iterator[tuple[Any, Any, Any, Any, str]]:
    """Attribute a window of the result to the pixels of the input, for several models of one scale.

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
    place = region_of(x, y, window)
    question = ask(Path(image), way, None, scale)
    whole = view(question, scale, place)
    height, width = cut(question, scale, place).lr.shape[2:]
    part = " around the window, the rest is dimmed" if (height, width) != question.lr.shape[2:] else ""
    facts = {"Window": f"{window} × {window} at {x}, {y}", "Input": f"{width} × {height}{part}"}
    name = Path(image).stem

    def tell(step: Comparing | Attributing | Explanation) -> tuple[Any, ...]:
        if isinstance(step, Explanation):
            kept = keep_maps(name, step, question.metadata, preview=True)
            return kept, whole, kept.rows, None, status.running(f"Refining to {steps} steps", result=True)
        if isinstance(step, Comparing):
            return gr.skip(), whole, [], None, status.running(f"Upscaling with {step.model}", step.progress)
        kind = "Preview" if step.settings == _PREVIEW else "Refining" if preview else "Attributing"
        text = f"{kind}: {step.model}"
        return *[gr.skip()] * 4, job.running(text, text, step.progress, "steps")

    preview = _PREVIEW if steps > _PREVIEW.steps else None
    parts = {"Preview": _PREVIEW.steps, "Refining": steps} if preview else {"Attributing": steps}
    job = status.Job(
        {
            f"{kind}: {each.name}": float(count * (each.parameters > 0))
            for kind, count in parts.items()
            for each in networks
        }
    )
    settings, hr = PathSettings(steps), question.hr
    work = explain_window(
        networks, question.lr, place, hr=hr, side=INPUT, settings=settings, preview=preview, at_once=_AT_ONCE
    )
    explanation = yield from status.announced(work, tell)
    shown = keep_maps(name, explanation, question.metadata, preview=False)
    yield shown, whole, shown.rows, shown.files, status.done(facts)


def _attribute_asked(asked: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    _, *question = asked
    yield from attribute(*question)


def draw_maps(
    strength: Real, level: Real, shown: Attributed | None
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Draw the maps over the input, and the contribution areas; nothing is computed again.

    Args:
        strength: of the colour of the maps, from 0 (the input alone) to 1.
        level: of the map, above which pixels belong to the contribution area.
        shown: the session's maps.

    Raises:
        UserError: nothing has been attributed yet.
    """
    return _there(shown).draw(strength, level)


def draw_figure(shown: Attributed | None) -> tuple[str, list[str]]:
    """Draw all models as a figure for a paper: to look at, and as PNG and PDF.

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
    image: Text | None, way: Text, names: Texts | None, x: Whole | None, y: Whole | None, window: Whole | None
) -> Place:
    """Return the place around the window."""
    size = window or WINDOW
    x, y = (None if start is None else start + size // 2 for start in (x, y))
    return Place.around(image, way, names or [], x, y)


def _begin_with(shown: Attributed) -> tuple[list[tuple[str, str]], None, None]:
    """Show the window of all results, and clear figures of other maps."""
    return shown.crops(), None, None


def _place(
    image: Text | None, way: Text, scale: Whole, x: Whole | None, y: Whole | None, size: Whole | None
) -> tuple[Any, ...]:
    """Return the picture with a window that lies in it, as close to this one as can be, and its corner."""
    if not image:
        return None, x, y
    question = ask(Path(image), way, None, scale)
    height, width = (scale * side - 1 for side in question.lr.shape[2:])  # one pixel to spare
    region = fit(x, y, min(size or WINDOW, scale * INPUT // 2), width, height)
    return view(question, scale, region), region.x, region.y


def _around(image: Text | None, way: Text, scale: Whole, window: Whole | None, event: gr.SelectData) -> tuple[Any, ...]:
    """Return the window around the pixel that was clicked on."""
    size = window or WINDOW
    factor = magnification(ask(sent_file(image), way, None, scale), scale)
    x, y = (middle // factor - size // 2 for middle in point(event))
    return _place(image, way, scale, x, y, size)


def _ask_again(*question: Any) -> Any:
    """Ask again after a click, if there are maps already."""
    *asked, shown = question
    return gr.skip() if shown is None else new_question(*asked)


def _there(shown: Attributed | None) -> Attributed:
    if shown is None:
        raise UserError("There is no map yet: choose a photograph, click on a place of it, and press Attribute.")
    return shown
