"""The tab *Attribution*: click on a picture, and see which input pixels made that place, for up to four models."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparing
from analysis.lam.attribution import STEPS, WINDOW, PathSettings
from analysis.lam.figure import AREA_LEVEL
from analysis.lam.run import Attributing, Explanation, explain_window
from promptsr.imaging.decode import inspect
from promptsr.support.errors import UserError
from promptsr.zoo.fingerprint import fingerprint
from workbench.server.arguments import Real, Text, Texts, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models, speed
from workbench.sessions.attribution import INPUT, Attributed, keep_maps, shipped, there, view
from workbench.sessions.compare import Question, ask, region_of
from workbench.sessions.places import Place
from workbench.sessions.uploads import sent_file
from workbench.tabs import attribution_check
from workbench.tabs.links import Question as Asked
from workbench.tabs.links import TabSettings, Values, onward
from workbench.tabs.window import fit_window, move_window, suggest_window, window_around
from workbench.ui import status
from workbench.ui.attribution_table import HELP, TABLE, map_scale
from workbench.ui.components import (
    CLICK,
    LIGHT,
    PRIVATE,
    RUN,
    gallery,
    nothing,
    photo,
    picture,
    placing_hint,
    run,
    samples,
    stoppable,
    suggestions,
    table_of,
    toast,
)
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import models_offered, scale_and_models
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import estimated, press, start_bar
from workbench.ui.tab_header import tab

TAB = "lam"
_PREVIEW = PathSettings.quick()
"""Settings of the first maps."""
_RULES = [("Adaptive: until the steps are enough", "adaptive"), ("Reference: LAM's authors' own", "right")]
_USUAL_STEPS = 32
"""Steps after which the adaptive rule mostly ends."""
_AT_ONCE = 1
"""Steps in one pass: on a CPU more of them at once take more memory and no less time."""
_LAM, _WAY = "LAM of {}", "for each step"
"""Names of the rates of attributions."""
_SAMPLE_SIDE = SIDES[1]
"""Pixels that are shrunk first, so that networks take seconds for them."""
_SCALE = 4
_PLACE = (77, 68)
"""Window that the tab opens with: where the two models differ most in its sample."""
_STRENGTH = 0.9
_WAYS = [("Test: shrink, then restore (gives scores)", "shrink"), ("Just enlarge", "enlarge")]


def build() -> TabSettings:
    """Add the tab to the page, which opens with maps of a sample."""
    with tab(TAB) as opened_tab:
        shown = gr.State(None)
        controls = start_bar(TAB, "Attribute", "Choose a photograph, click on a place in it, and press Attribute.")
        news = controls.news
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Photograph", value=str(first_photograph()), height=220, elem_id="lam-image")
            taken = samples(image, _SAMPLE_SIDE)
            way = gr.Radio(_WAYS, value="shrink", label="Mode", elem_id="lam-way")
            with gr.Group():
                scale, chosen, offered = scale_and_models("lam", _SCALE, gradients=True)
            rule = gr.Radio(_RULES, value="adaptive", label="Rule of integration", elem_id="lam-rule")
        with gr.Column(scale=5, min_width=320):
            with gr.Row(equal_height=False):
                with gr.Column(scale=4, min_width=280):
                    whole = picture("The place to explain", show_label=False, elem_id="lam-whole")
                with gr.Column(scale=3, min_width=240):
                    placing_hint()
                    with gr.Group(), gr.Row():
                        x, y, window, steps = (
                            gr.Number(value, precision=0, label=label, min_width=140, elem_id=f"lam-{name}")
                            for name, label, value in (
                                ("x", "x", _PLACE[0]),
                                ("y", "y", _PLACE[1]),
                                ("window", "Window", WINDOW),
                                ("steps", "Steps", STEPS["adaptive"]),
                            )
                        )
                    suggested = suggestions(TAB)
                    buttons = onward(TAB)
            table = table_of(TABLE, "lam-table")
            with gr.Column(elem_id="lam-results"), gr.Tabs(elem_classes="subtabs"):
                with gr.Tab("Maps", elem_id="lam-sub-maps"):
                    gr.Markdown(
                        "Local attribution maps (LAM): the input pixels that made the window, which is in blue."
                    )
                    maps = gallery("Local attribution maps", "lam-maps")
                    bar = gr.HTML(map_scale(_STRENGTH), js_on_load=None, apply_default_css=False, elem_id="lam-colors")
                    strength = gr.Slider(0, 1, _STRENGTH, step=0.05, label="Strength", elem_id="lam-strength")
                with gr.Tab("Contribution area", elem_id="lam-sub-areas"):
                    gr.Markdown("Input pixels above a share of the largest attribution of each map.")
                    areas = gallery("Contribution areas", "lam-areas")
                    level = gr.Slider(0.01, 0.5, AREA_LEVEL, step=0.01, label="Level", elem_id="lam-level")
                with gr.Tab("Window", elem_id="lam-sub-window"):
                    crops = gallery("The window of every result", "lam-crops")
                attribution_check.build(shown, controls)
                with gr.Tab("Figure and files", elem_id="lam-sub-files"):
                    draw = gr.Button("Draw the figure for a paper", elem_id="lam-draw")
                    figure = picture("Figure", elem_id="lam-figure")
                    drawn = gr.Files(label="Figure", interactive=False, elem_id="lam-drawn")
                    files = gr.Files(label="Maps (.npz) and numbers (JSON)", interactive=False, elem_id="lam-files")
                with gr.Tab("How to read it", elem_id="lam-sub-help"):
                    gr.Markdown(HELP, elem_id="lam-help")

    asked = {"photo": image, "way": way, "scale": scale, "model": chosen, "x": x, "y": y, "window": window}
    settings = TabSettings(
        TAB,
        asked | {"steps": steps, "rule": rule},
        controls,
        view={"strength": strength, "level": level},
        offers={"model": lambda values: models_offered(values["scale"], gradients=True)},
        place=_case,
        buttons=buttons,
        here_of=[image, way, chosen, x, y, window],
        here=_here,
    )
    outputs = [shown, whole, table, files, news]
    estimated(TAB, controls.row, list(settings.asked.values()), _expected)
    settings.start(attribute, outputs, api_name="lam")
    suggesting, private = [image, way, scale, chosen, window], RUN | {"api_visibility": "private"}
    found = [
        button.click(run(partial(suggest_window, kind), news), suggesting, [whole, x, y, news], **private)
        for kind, button in suggested.items()
    ]
    stoppable(controls.cancel, news, *found)
    _first_result.show(opened_tab, [news, settings.question], outputs)

    rule.input(toast(_steps_of), rule, steps, **PRIVATE)
    overlaying = toast(draw_maps), [strength, level, shown], [maps, areas]
    gr.on([strength.input, level.input], *overlaying, api_name="lam_overlay", **LIGHT)
    shown.change(*overlaying, **PRIVATE)
    strength.input(toast(map_scale), strength, bar, **PRIVATE)
    drawing = draw.click(toast(draw_figure), shown, [figure, drawn], api_name="lam_figure", show_progress="minimal")
    shown.change(toast(_begin_with), shown, [crops, figure, drawn], cancels=[drawing], **PRIVATE)

    placing = toast(move_window), [image, way, scale, x, y, window], [whole, x, y]
    gr.on([x.submit, y.submit, window.submit, x.blur, y.blur, window.blur, way.input], *placing, **PRIVATE)
    clicked = whole.select(toast(window_around), [image, way, scale, window], [whole, x, y], **CLICK)
    for each in (clicked, *found):
        again = toast(partial(_ask_again, settings))
        each.success(again, [*settings.asked.values(), shown], settings.question, **PRIVATE)
    offered.then(*placing, **PRIVATE)
    _, placed = (
        new_image(lambda: (None, None), None, [x, y], **PRIVATE).then(*placing, **PRIVATE)
        for new_image in (sent.success, taken.load_input_event.then)
    )
    placed.then(**press(TAB))
    return settings


@on_device
def attribute(
    image: Text | None,
    way: Text,
    scale: Whole,
    names: Texts | None,
    x: Whole,
    y: Whole,
    window: Whole,
    steps: Whole,
    rule: Text = "adaptive",
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
        steps: from the blurred input to the sharp one; by the adaptive rule the most.
        rule: of integration, "adaptive", "right" (the reference) or "trapezoid".

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
    name = Path(image).stem

    def tell(step: Comparing | Attributing | Explanation) -> tuple[Any, ...]:
        if isinstance(step, Explanation):
            kept = keep_maps(name, step, question.metadata, preview=True)
            return kept, whole, kept.rows, None, status.running("Refining", result=True)
        if isinstance(step, Comparing):
            return gr.skip(), whole, [], None, status.running(f"Upscaling with {step.model}", step.progress)
        kind = "Preview" if step.settings == _PREVIEW else "Refining" if preview else "Attributing"
        text = f"{kind}: {step.model}"
        return *[gr.skip()] * 4, job.running(text, text, step.progress, "steps")

    preview = _PREVIEW if steps > _PREVIEW.steps else None
    usual = _usual(steps, rule)
    parts = {"Preview": _PREVIEW.steps, "Refining": usual} if preview else {"Attributing": usual}
    job = status.Job(
        {
            f"{kind}: {each.name}": float(count * (each.parameters > 0))
            for kind, count in parts.items()
            for each in networks
        },
        _expected(image, way, scale, names, x, y, window, steps, rule),
    )
    settings, hr = PathSettings(steps, rule=rule), question.hr
    work = explain_window(
        networks, question.lr, place, hr=hr, side=INPUT, settings=settings, preview=preview, at_once=_AT_ONCE
    )
    explanation = yield from status.announced(work, tell)
    height, width = explanation.patch.lr.shape[2:]
    for each in explanation.attributions:
        speed.remember(_LAM.format(each.model), _WAY, each.levels[-1][0] * height * width, each.seconds)
    shown = keep_maps(name, explanation, question.metadata, preview=False)
    yield _answer(shown, question, whole)


def _expected(
    image: Text | None,
    way: Text,
    scale: Whole,
    names: Texts | None,
    x: Whole | None,
    y: Whole | None,
    window: Whole | None,
    steps: Whole,
    rule: Text = "adaptive",
) -> float | None:
    """Return the seconds that an attribution will take, preview and all, if all its networks had one before."""
    about = inspect(sent_file(image))
    factor = max(scale, 1) if way == "shrink" else 1
    height, width = (min(side // factor, INPUT) for side in (about.height, about.width))
    count = _usual(steps, rule) + (_PREVIEW.steps if steps > _PREVIEW.steps else 0)
    networks = [_LAM.format(name) for name in names or [] if not name.startswith(models.BICUBIC)]
    return speed.total(networks, _WAY, count * height * width)


def _steps_of(rule: Text) -> int:
    """Return the usual number of steps of a rule; a run refuses others than these."""
    return STEPS.get(rule, STEPS["adaptive"])


def _usual(steps: Whole, rule: Text) -> int:
    """Return the steps that are to be expected."""
    return min(steps, _USUAL_STEPS) if rule == "adaptive" else steps


def warm() -> None:
    """Make the result that the tab opens with, if its maps come with the page."""
    with suppress(gr.Error):
        _first_result()


def first_photograph() -> Path:
    """Return the sample that the tab opens with."""
    return sample_paths(_SAMPLE_SIDE)[1]


def first_question() -> dict[str, Any]:
    """Return the arguments of `attribute`, but for the photograph, that the tab opens with."""
    x, y = _PLACE
    names = models.pair(_SCALE, gradients=True)
    path = {"steps": STEPS["adaptive"], "rule": "adaptive"}
    return {"way": "shrink", "scale": _SCALE, "names": names, "x": x, "y": y, "window": WINDOW, **path}


def made_of(question: dict[str, Any]) -> dict[str, Any]:
    """Return what the maps of a question are made by and of, as plain values; the weights by their hash."""
    weights = {name: fingerprint(models.load(name).network) for name in question["names"]}
    return {"command": "make maps", "photograph": first_photograph().name, **question, "weights": weights}


def _shipped() -> tuple[Any, ...]:
    question, image = first_question(), first_photograph()
    scale, place = question["scale"], Region(question["x"], question["y"], question["window"])
    photograph = ask(image, question["way"], None, scale)
    networks = models.load_several(question["names"], scale)
    found = shipped(made_of(question), image.stem, networks, photograph, place)
    if found is None:  # of other models: they are made on demand
        raise nothing()
    return _answer(found, photograph, view(photograph, scale, place))


def _answer(shown: Attributed, question: Question, whole: str) -> tuple[Any, ...]:
    """Return what `attribute` yields at last."""
    settings = shown.rows[0]["settings"]
    x, y, size, patch = (settings[name] for name in ("x", "y", "size", "patch"))
    width, height = patch["width"], patch["height"]
    part = " around the window, the rest is dimmed" if (height, width) != question.lr.shape[2:] else ""
    facts = {"Window": f"{size} × {size} at {x}, {y}", "Input": f"{width} × {height}{part}"}
    return shown, whole, shown.rows, shown.files, status.done(facts)


_first_result = FirstResult(_shipped)


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
    return there(shown).draw(strength, level)


def draw_figure(shown: Attributed | None) -> tuple[str, list[str]]:
    """Draw all models as a figure for a paper: to look at, and as PNG and PDF.

    Raises:
        UserError: nothing has been attributed yet.
    """
    files = there(shown).figures()
    return files[0], files


def _case(place: Place) -> Values:
    """Return what opens a place here: a window in its middle, for its models with gradients.

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
    _, x, y = fit_window(image, way, scale, left, top, size)
    return {"photo": image, "way": way, "scale": scale, "model": usable, "x": x, "y": y, "window": size}


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


def _ask_again(settings: TabSettings, *values: Any) -> Asked:
    """Ask again after a click, if there are maps already."""
    *asked, shown = values
    if shown is None:
        raise nothing()
    return settings.ask(*asked)
