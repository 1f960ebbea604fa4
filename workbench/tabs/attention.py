"""The tab *Attention*: click on a pixel, and see which anchors it asks, what they read, and who is of its kind."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.attention.depth import Descending, over_depth
from analysis.attention.figure import draw_depth
from analysis.common.figure_style import publish
from promptsr.inference.upscaler import Progress
from promptsr.support.files import replacing
from workbench.server.arguments import Flag, Text, Whole
from workbench.server.device import on_device
from workbench.sessions import categories as category_pictures
from workbench.sessions import models
from workbench.sessions.attention import draw, keep, looked, magnification, rows, small, view
from workbench.sessions.pictures import new_folder
from workbench.sessions.places import Place
from workbench.sessions.uploads import read_photograph, sent_file
from workbench.tabs.links import Destination, Source, answered, new_question, onward
from workbench.ui import status
from workbench.ui.components import (
    CLICK,
    HEAVY,
    PRIVATE,
    RUN,
    choice,
    gallery,
    photo,
    picture,
    point,
    run,
    samples,
    table_of,
    toast,
)
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.tab_header import tab

TAB = "attention"
_SAMPLE_SIDE = SIDES[2]
_PIXELS = 16
_HELP = """**How to read it.** A pixel asks the anchors (*M fine*), and each anchor has read the whole image (*M
coarse*); composed, they say which pixels a pixel hears of. The *Jacobian* is the exact answer for the layer: it knows
of the mixing of neighbouring anchors too. Colours are logarithmic, from violet to yellow, each map for itself. Pixels
of one *category* attend to each other in groups, wherever they lie, and every pixel attends to its *window*, in
several heads."""
# The browser renders the table, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Map</th><th>Effective number</th><th>90 % lie in</th>
<th>Mean distance, px</th><th>Radius of 90 %, px</th><th>On the padding</th></tr></thead><tbody>${
value.map(row => {
  const number = (value, digits) => value === undefined ? '–' : value.toFixed(digits);
  return `<tr><th>${new Option(row.map).innerHTML}</th><td>${number(row.effective, 1)} ${row.unit}</td>
<td>${number(row.area, 0)}</td><td>${number(row.distance, 1)}</td><td>${number(row.radius, 1)}</td>
<td>${(100 * row.on_padding).toFixed(1)} %</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def build() -> tuple[Source, Destination]:
    """Add the tab to the page."""
    first = models.first_network()
    config = models.network(first).config
    sample = str(sample_paths(_SAMPLE_SIDE)[1])
    with tab(TAB) as opened:
        asked = gr.State(None)
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Photograph", value=sample, height=220, elem_id="attention-image")
            taken = samples(image, _SAMPLE_SIDE)
            model = choice(choices=models.network_choices(), value=first, label="Network", elem_id="attention-model")
            with gr.Group(), gr.Row():
                group, block = (
                    gr.Slider(1, count, count, step=1, label=label, elem_id=f"attention-{name}", min_width=140)
                    for name, label, count in (
                        ("group", "Residual group", config.groups),
                        ("block", "Block", config.blocks_per_group),
                    )
                )
            jacobian = gr.Checkbox(True, label="Compare with the exact Jacobian (slower)", elem_id="attention-jacobian")
            gr.Markdown(_HELP, elem_id="attention-help")
        with gr.Column(scale=5, min_width=320):
            with gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=260):
                    whole = picture("Click on a pixel", elem_id="attention-whole")
                with gr.Column(scale=2, min_width=220):
                    facts = gr.HTML(elem_id="attention-facts")
                    with gr.Group(), gr.Row():
                        x, y = (
                            gr.Number(value, precision=0, label=name, min_width=90, elem_id=f"attention-{name}")
                            for name, value in zip("xy", _middle(sample), strict=True)
                        )
                    buttons = onward(TAB)
                    draw_button = gr.Button("Draw the figure for a paper", elem_id="attention-draw")
                    files = gr.Files(label="Figure and maps", interactive=False, elem_id="attention-files")
            maps = gallery("What the pixel looks at", "attention-maps")
            table = table_of(_TABLE, "attention-table")
            with gr.Accordion("Over depth: how the reach changes from block to block", open=False):
                descend = gr.Button("Compute all blocks", elem_id="attention-descend")
                depth_news = gr.HTML(elem_id="attention-depth-status")
                depth_figure = picture("Over depth", show_label=False, elem_id="attention-depth")
                depth_files = gr.Files(label="Numbers and figure", interactive=False, elem_id="attention-depth-files")
            with gr.Accordion("Categories: into which groups every block sorts the pixels", open=False):
                sort = gr.Button("Draw the categories of all blocks", elem_id="attention-sort")
                finding = gr.Markdown(elem_id="attention-finding")
                categories = gallery("Categories", "attention-categories")
                agreement = picture("Agreement", show_label=False, elem_id="attention-ari")
                sorted_files = gr.Files(label="Maps, numbers, figures", interactive=False, elem_id="attention-sorted")

    question: list[Any] = [image, model, group, block, x, y, jacobian]
    outputs = [whole, maps, table, facts]
    looking = toast(attention), question, outputs
    again = {**PRIVATE, "show_progress": "minimal", **HEAVY}
    placing = toast(_middle), image, [x, y]
    gr.on([x.submit, y.submit], *looking, api_name="attention", **{**again, "api_visibility": "public"})
    whole.select(toast(_clicked), image, [x, y], **CLICK).success(*looking, **again)
    gr.on([group.release, block.release, jacobian.input], *looking, **again)
    model.input(toast(_blocks), model, [group, block], **PRIVATE).success(*looking, **again)
    for new_image in (sent.success, taken.load_input_event.then):
        new_image(*placing, **PRIVATE).success(*looking, **again)
    opened.select(*looking, **again)
    answered(asked, toast(_attention_asked), [asked, jacobian], outputs, **again)
    draw_button.click(toast(figure), question, files, api_name="attention_figure", show_progress="minimal", **HEAVY)
    deep = [depth_figure, depth_files, depth_news]
    descended = descend.click(run(depth, depth_news), [image, model], deep, api_name="attention_depth", **RUN)
    descended.failure(gr.skip, None, depth_news, **PRIVATE)
    # What was drawn on request belongs to what was set then.
    gr.on([each.change for each in question], None, None, files, js="() => null", **PRIVATE)
    drawn = [*deep, categories, finding, agreement, sorted_files]
    empty = "() => [null, null, '', null, '', null, null]"
    gr.on([image.change, model.change], None, None, drawn, js=empty, **PRIVATE)
    sort.click(
        toast(category_pictures.categories),
        [image, model],
        [categories, finding, agreement, sorted_files],
        api_name="categories",
        show_progress="minimal",
        **HEAVY,
    )
    source = Source(buttons, [image, model, x, y], _here)
    return source, Destination(TAB, [image, model, group, block, x, y, asked], _case)


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


def _attention_asked(asked: tuple[Any, ...], jacobian: Flag) -> tuple[Any, ...]:
    _, image, name, group, block, x, y = asked
    return attention(image, name, group, block, x, y, jacobian)


def _case(place: Place) -> list[Any]:
    """Return the inputs that open a place here: the pixel in its middle, in the last block of its network."""
    image, name = str(place.image), place.network
    whole, (height, width) = read_photograph(place.image), small(image).shape[2:]
    x, y = place.pixel
    x, y = x * width // whole.width, y * height // whole.height
    config = models.network(name).config
    asked = new_question(image, name, config.groups, config.blocks_per_group, x, y)
    return [image, name, *_blocks(name), x, y, asked]


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
