"""The tab *Attention*: click on a pixel, and see the anchors it attends to, what these have read, and its category."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from analysis.attention.depth import Descending, over_depth
from analysis.attention.figure import SCALE, draw_depth, scale_colors
from analysis.common.figure_style import publish
from analysis.common.overlay import SPAN, log_share
from promptsr.inference.upscaler import Progress
from promptsr.support.files import replacing
from workbench.server.arguments import Flag, Text, Whole
from workbench.server.device import on_device
from workbench.sessions import categories as category_pictures
from workbench.sessions import models
from workbench.sessions.attention import draw, find_place, keep, looked, magnification, rows, small, view
from workbench.sessions.pictures import new_folder
from workbench.sessions.places import Place
from workbench.sessions.uploads import read_photograph, sent_file
from workbench.tabs.links import TabSettings, Values, onward
from workbench.ui import status
from workbench.ui.color_bar import marked_bar
from workbench.ui.components import (
    AGAIN,
    CLICK,
    HEAVY,
    PRIVATE,
    RUN,
    corrected,
    gallery,
    nothing,
    on_choice,
    photo,
    picture,
    placing_hint,
    point,
    run,
    samples,
    suggestions,
    table_of,
    toast,
)
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import model_choice
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import copy_link
from workbench.ui.tab_header import tab

TAB = "attention"
_SAMPLE_SIDE = SIDES[2]
_PIXELS = 16
_HELP = """A pixel attends to the anchors (*M fine*), and each anchor has read the whole image (*M coarse*);
composed, they say which pixels a pixel draws on. The *Jacobian* is the exact answer for the layer: it includes the
mixing of neighbouring anchors. Colours show attention relative to uniform, 1 being the average, on one logarithmic
scale for all maps. Pixels of one *category* attend to each other in groups, wherever they lie, and every pixel attends
to its *window*, in several heads."""
# The browser renders the table, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Map</th><th>Effective number</th><th>90 % lie in</th>
<th>Mean distance, px</th><th>Radius of 90 %, px</th><th>On the padding</th></tr></thead><tbody>${
value.map(row => {
  const number = (value, digits) => value === undefined ? '–' : value.toFixed(digits);
  return `<tr><th>${new Option(row.map).innerHTML}</th><td>${number(row.effective, 1)} ${row.unit}</td>
<td>${number(row.area, 0)}</td><td>${number(row.distance, 1)}</td><td>${number(row.radius, 1)}</td>
<td>${(100 * row.on_padding).toFixed(1)} %</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def build() -> TabSettings:
    """Add the tab to the page."""
    first = models.first_network()
    config = models.network(first).config
    sample = str(sample_paths(_SAMPLE_SIDE)[1])
    with tab(TAB) as opened:
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Photograph", value=sample, height=220, elem_id="attention-image")
            taken = samples(image, _SAMPLE_SIDE)
            model = model_choice(models.network_choices, value=first, label="Network", elem_id="attention-model")
            with gr.Group(), gr.Row():
                group, block = (
                    gr.Slider(1, count, count, step=1, label=label, elem_id=f"attention-{name}", min_width=140)
                    for name, label, count in (
                        ("group", "Residual group", config.groups),
                        ("block", "Block", config.blocks_per_group),
                    )
                )
            jacobian = gr.Checkbox(True, label="Compare with the exact Jacobian (slower)", elem_id="attention-jacobian")
        with gr.Column(scale=5, min_width=320):
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=260):
                    whole = picture("The pixel", show_label=False, elem_id="attention-whole")
                with gr.Column(scale=2, min_width=220):
                    facts = gr.HTML(elem_id="attention-facts")
                    placing_hint()
                    with gr.Group(), gr.Row():
                        x, y = (
                            gr.Number(value, precision=0, label=name, min_width=90, elem_id=f"attention-{name}")
                            for name, value in zip("xy", _middle(sample), strict=True)
                        )
                    suggested = suggestions(TAB)
                    buttons = onward(TAB)
                    copy_link()
            with gr.Tabs(elem_classes="subtabs"):
                with gr.Tab("Maps", elem_id="attention-sub-maps"):
                    gr.HTML(_scale(), js_on_load=None, apply_default_css=False, elem_id="attention-colors")
                    maps = gallery("What the pixel looks at", "attention-maps")
                with gr.Tab("Numbers", elem_id="attention-sub-numbers"):
                    table = table_of(_TABLE, "attention-table")
                with gr.Tab("Over depth", elem_id="attention-sub-depth") as over:
                    gr.Markdown("How the reach of attention changes from block to block.")
                    descend = gr.Button("Compute all blocks", elem_id="attention-descend")
                    depth_news = gr.HTML(elem_id="attention-depth-status")
                    depth_figure = picture("Over depth", show_label=False, elem_id="attention-depth")
                    depth_files = gr.Files(
                        label="Numbers and figure", interactive=False, elem_id="attention-depth-files"
                    )
                with gr.Tab("Categories", elem_id="attention-sub-categories") as sorting:
                    gr.Markdown("Into which groups every block sorts the pixels.")
                    sort = gr.Button("Draw the categories of all blocks", elem_id="attention-sort")
                    finding = gr.Markdown(elem_id="attention-finding")
                    categories = gallery("Categories", "attention-categories")
                    agreement = picture("Agreement", show_label=False, elem_id="attention-ari")
                    sorted_files = gr.Files(
                        label="Maps, numbers, figures", interactive=False, elem_id="attention-sorted"
                    )
                with gr.Tab("Figure and files", elem_id="attention-sub-files"):
                    draw_button = gr.Button("Draw the figure for a paper", elem_id="attention-draw")
                    files = gr.Files(label="Figure and maps", interactive=False, elem_id="attention-files")
                with gr.Tab("How to read it", elem_id="attention-sub-help"):
                    gr.Markdown(_HELP, elem_id="attention-help")

    asked = {"photo": image, "model": model, "group": group, "block": block, "x": x, "y": y}
    settings = TabSettings(
        TAB,
        asked | {"jacobian": jacobian},
        offers={
            "group": lambda values: _blocks(values["model"])[0],
            "block": lambda values: _blocks(values["model"])[1],
        },
        place=_case,
        buttons=buttons,
        here_of=[image, model, x, y],
        here=_here,
    )
    question = list(settings.asked.values())
    outputs = [whole, maps, table, facts]
    changed = [group.release, block.release, jacobian.input]
    gr.on(changed, toast(attention), question, outputs, api_name="attention", **AGAIN | {"api_visibility": "public"})
    moved = gr.on([x.submit, y.submit], toast(_inside), [image, x, y], [x, y, whole], **PRIVATE)
    clicked = whole.select(toast(_clicked), image, [x, y], **CLICK)
    named = on_choice(model, toast(_blocks), model, [group, block])
    found = [
        button.click(toast(partial(suggest, kind)), [image, model], [x, y], **AGAIN)
        for kind, button in suggested.items()
    ]
    new = [event(toast(_middle), image, [x, y], **PRIVATE) for event in (sent.success, taken.load_input_event.then)]
    for placed in (moved, clicked, named, *found, *new):
        placed.success(toast(_attention_inside), question, outputs, **AGAIN)
    opened.select(toast(_opened), [facts, settings.question, *question], outputs, **AGAIN)
    settings.answer(attention, outputs, **AGAIN)

    drawing = draw_button.click(
        toast(figure), question, files, api_name="attention_figure", show_progress="minimal", **HEAVY
    )
    deep = [depth_figure, depth_files, depth_news]
    descended = descend.click(run(depth, depth_news), [image, model], deep, api_name="attention_depth", **RUN)
    drawn = [categories, finding, agreement, sorted_files]
    sorts = toast(category_pictures.categories), [image, model], drawn
    categorised = sort.click(*sorts, api_name="categories", show_progress="minimal", **HEAVY)
    # A sub-tab that is opened makes its result, if it has none yet.
    first_depth = over.select(toast(_if_empty), depth_news, None, **PRIVATE).success(
        run(depth, depth_news), [image, model], deep, **RUN | {"api_visibility": "private"}
    )
    first_sorted = sorting.select(toast(_if_empty), finding, None, **PRIVATE).success(*sorts, **AGAIN)
    for each in (descended, first_depth):
        each.failure(gr.skip, None, depth_news, **PRIVATE)
    # What was made on request belongs to what was set then, and so does what is still to come.
    gr.on([each.change for each in question], None, None, files, js="() => null", cancels=[drawing], **PRIVATE)
    gr.on(
        [image.change, model.change],
        None,
        None,
        [*deep, *drawn],
        js="() => [null, null, '', null, '', null, null]",
        cancels=[descended, first_depth, categorised, first_sorted],
        **PRIVATE,
    )
    return settings


@on_device
def attention(
    image: Text | None, model: Text, group: Whole, block: Whole, x: Whole, y: Whole, jacobian: Flag
) -> tuple[str, list[tuple[str, str]], list[dict[str, Any]], str]:
    """Show where one block looks for one pixel.

    Args:
        image: path of the file that was sent; it is shrunk to at most 96 pixels a side.
        model: name of a PromptSR network.
        group: residual group, from 1.
        block: cascade prompting block in the group, from 1.
        x: column of the pixel in the shrunken image.
        y: its row.
        jacobian: compare the composed map with the exact Jacobian of the layer.

    Returns:
        The shrunken image with the pixel in a frame, the maps with their titles, the rows of the table, and facts.

    Raises:
        UserError: any of these is impossible.
    """
    image = str(sent_file(image))
    seen = looked(image, model, group, block).at(x, y, jacobian)
    height, width = seen.photo.shape[:2]
    known = {"Input": f"{width} × {height}", "Pixel": f"{x}, {y}", "Block": f"group {group}, block {block}"}
    if "composed" in seen.weights:
        [reach] = seen.reach("composed")
        assert reach is not None
        known["Draws on"] = f"{reach.effective:.0f} pixels, {reach.distance:.0f} px away on average"
    if seen.spearman is not None:
        known["Composed map and Jacobian"] = f"rank correlation {seen.spearman:.2f}"
    if not models.known()[model].has_weights:
        known["Untrained"] = "chance makes these maps"
    return view(image, x, y), draw(seen), rows(seen), status.definitions(known)


@on_device
def figure(
    image: Text | None, model: Text, group: Whole, block: Whole, x: Whole, y: Whole, jacobian: Flag
) -> list[str]:
    """Draw one pixel as a figure for a paper (PNG, SVG) and as arrays (npz); arguments as for `attention`.

    Raises:
        UserError: as `attention`.
    """
    image = str(sent_file(image))
    return keep(looked(image, model, group, block).at(x, y, jacobian), Path(image).stem)


@on_device
def suggest(kind: str, image: Text | None, model: Text) -> tuple[int, int]:
    """Return a pixel worth a look, x and y, of a kind of `analysis.common.suggestions`.

    Raises:
        UserError: no image or no such network, an image that is too small, or as `suggestions.suggest`.
    """
    return find_place(kind, str(sent_file(image)), model)


def warm() -> None:
    """Make the result that the tab opens with."""
    _first_result()


def _first_question() -> tuple[Any, ...]:
    sample, name = str(sample_paths(_SAMPLE_SIDE)[1]), models.first_network()
    config = models.network(name).config
    return sample, name, config.groups, config.blocks_per_group, *_middle(sample), True


_first_result = FirstResult(lambda: attention(*_first_question()))


def _opened(
    facts: Text | None,
    asked: Any,
    image: Text | None,
    model: Text,
    group: Whole,
    block: Whole,
    x: Whole,
    y: Whole,
    jacobian: Flag,
) -> tuple[Any, ...]:
    """Answer what is set when the tab is opened, if nothing has been answered or asked yet."""
    if facts or asked is not None:
        raise nothing()
    question = image, model, group, block, x, y, jacobian
    answer: tuple[Any, ...] = _first_result() if question == _first_question() else attention(*question)
    return answer


@on_device
def depth(image: Text | None, model: Text) -> Iterator[tuple[Any, ...]]:
    """Numbers for the reach of attention in every block.

    Args:
        image: path of the file that was sent.
        model: name of a PromptSR network.

    Yields:
        What the page shows next: the figure, the files, the status.

    Raises:
        UserError: no image, no such network, or one without anchors.
    """
    image = str(sent_file(image))

    job = status.Job({"": 1})

    def tell(step: Descending) -> tuple[Any, ...]:
        text = f"Group {step.group + 1}, block {step.block + 1}"
        return gr.skip(), gr.skip(), job.running("", text, Progress(step.done, step.total), "blocks")

    study = yield from status.announced(over_depth(models.network(model), small(image), pixels=_PIXELS), tell)
    folder = new_folder()
    chart, numbers = folder / f"{Path(image).stem}-depth.png", folder / f"{Path(image).stem}-depth.csv"
    publish(draw_depth(study.table), chart)
    with replacing(numbers) as temporary:
        study.table.to_csv(temporary, index=False)
    yield str(chart), [str(numbers), str(chart)], status.done({"Means over": f"{len(study.pixels)} pixels"})


def _case(place: Place) -> Values:
    """Return what opens a place here: the pixel in its middle, in the last block of its network."""
    image, name = str(place.image), place.network
    whole, (height, width) = read_photograph(place.image), small(image).shape[2:]
    x, y = place.pixel
    x, y = x * width // whole.width, y * height // whole.height
    config = models.network(name).config
    return {"photo": image, "model": name, "group": config.groups, "block": config.blocks_per_group, "x": x, "y": y}


def _here(image: Text | None, name: Text, x: Whole | None, y: Whole | None) -> Place:
    """Return the place around the pixel."""
    image = str(sent_file(image))
    whole, (height, width) = read_photograph(image), small(image).shape[2:]
    scale = models.scale_of(name)
    x, y = (
        None if start is None else scale * (2 * start + 1) * length // (2 * shrunk)
        for start, length, shrunk in ((x, whole.width, width), (y, whole.height, height))
    )
    return Place.around(image, "enlarge", models.with_bicubic(name), x, y)


def _middle(image: Text | None) -> tuple[int, int]:
    image = str(sent_file(image))
    height, width = small(image).shape[2:]
    return width // 2, height // 2


def _inside(image: Text | None, x: Whole | None, y: Whole | None) -> list[Any]:
    """Return the numbers that have to change for the pixel to lie inside, and the picture with a frame around it."""
    image = str(sent_file(image))
    inside = _nearest(image, x, y)
    return [*corrected(inside, (x, y)), view(image, *inside)]


def _attention_inside(
    image: Text | None, model: Text, group: Whole, block: Whole, x: Whole | None, y: Whole | None, jacobian: Flag
) -> tuple[Any, ...]:
    """Answer for the nearest pixel inside: since the fields were corrected, keys may have moved them on."""
    answer: tuple[Any, ...] = attention(image, model, group, block, *_nearest(str(sent_file(image)), x, y), jacobian)
    return answer


def _nearest(image: str, x: Whole | None, y: Whole | None) -> tuple[int, int]:
    """Return the pixel inside that is nearest to these numbers, the middle where there are none."""
    height, width = small(image).shape[2:]
    across, down = (
        length // 2 if start is None else min(max(start, 0), length - 1) for start, length in ((x, width), (y, height))
    )
    return across, down


def _if_empty(text: Text | None) -> None:
    if text:
        raise nothing()


def _scale() -> str:
    """Return the colour bar of the maps."""
    colors = scale_colors(np.geomspace(1 / SPAN, SPAN, 33)).tolist()
    ticks = dict(zip(SCALE, log_share(np.array([*SCALE.values()])).tolist(), strict=True))
    return marked_bar(colors, ticks, "attention relative to uniform (1 = average), the same for every map")


def _clicked(image: Text | None, event: gr.SelectData) -> tuple[int, int]:
    image = str(sent_file(image))
    factor = magnification(*small(image).shape[2:])
    x, y = (place // factor for place in point(event))
    return x, y


def _blocks(model: Text) -> tuple[gr.Slider, gr.Slider]:
    config = models.network(model).config
    return (
        gr.Slider(maximum=config.groups, value=config.groups),
        gr.Slider(maximum=config.blocks_per_group, value=config.blocks_per_group),
    )
