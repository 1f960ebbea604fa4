"""The tab *Compare*: up to four models on one photograph, with scores, maps of differences, crops and a figure."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.comparison.compare import Comparing, compare
from promptsr.imaging.metrics import MS_SSIM_SIDE
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import common_scale
from workbench.server.arguments import Flag, Text, Texts, Whole
from workbench.server.device import on_device
from workbench.sessions import models
from workbench.sessions.compare import WAYS, Compared, ask, keep, region_of
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
    choice,
    gallery,
    photo,
    picture,
    point,
    run,
    samples,
    slider,
    stoppable,
    table_of,
    tile_of,
    tile_size,
    toast,
)
from workbench.ui.model_choice import scale_and_models
from workbench.ui.samples import SIDES
from workbench.ui.start_bar import belong, press, start_bar
from workbench.ui.tab_header import tab

TAB = "compare"
_SAMPLE_SIDE = SIDES[2]
"""Pixels that are shrunk first, so that networks take seconds for them."""
_SCALE = 4
_WINDOW = 64
"""Side of the region in pixels, to begin with."""
_LIMITS = [8, 16, 32, 64]
"""Grey levels where the colours of a map end."""
# The browser renders the scores, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Model</th><th>PSNR-Y, dB</th><th>SSIM-Y</th><th>MS-SSIM</th>
<th title="Gradient magnitude similarity deviation: 0 is best">GMSD</th><th>Time, s</th><th>Parameters</th></tr></thead>
<tbody>${value.map(row => {
  const score = (key, digits, pick = Math.max) => {
    const text = number => number === null ? '–' : number.toFixed(digits);
    const most = pick(...value.map(r => r[key]));
    const best = value.length > 1 && row[key] !== null && text(row[key]) === text(most);
    return `<td>${best ? '<b>' : ''}${text(row[key])}${best ? '</b>' : ''}</td>`;
  };
  return `<tr><th>${new Option(row.model).innerHTML}</th>${score('psnr_y', 2)}${score('ssim_y', 4)}
${score('ms_ssim', 4)}${score('gmsd', 4, Math.min)}
<td>${row.seconds.toFixed(2)}</td><td>${row.parameters.toLocaleString('en')}</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def build() -> tuple[Source, Destination]:
    """Add the tab to the page."""
    with tab(TAB):
        shown, asked = gr.State(None), gr.State(None)
        _, start, cancel, news = start_bar(TAB, "Compare", "Choose a photograph and press Compare.")
        with gr.Column(scale=2, min_width=320):
            image, sent = photo(label="Photograph", height=280, elem_id="compare-image")
            taken = samples(image, _SAMPLE_SIDE)
            way = gr.Radio(list(WAYS.items()), value="shrink", label="Mode", elem_id="compare-way")
            hr_image, _ = photo(label="HR image", height=200, visible=False, elem_id="compare-hr")
            with gr.Group():
                scale, chosen, _ = scale_and_models("compare", _SCALE)
                tile = tile_size("compare-tile")
        with gr.Column(scale=5, min_width=320):
            table = table_of(_TABLE, "compare-table")
            with gr.Column(elem_id="compare-results"):
                with gr.Row():
                    left, right = (
                        choice(label=side, min_width=180, elem_id=f"compare-{side.lower()}")
                        for side in ("Left", "Right")
                    )
                pair = slider("compare-slider")
                export = gr.Button("Export images and scores", size="sm", elem_id="compare-export")
                packed = gr.Files(
                    label="Images (ZIP) and scores (CSV)", interactive=False, elem_id="compare-export-files"
                )
                with gr.Accordion("Differences"):
                    with gr.Row():
                        reference = choice(label="Difference to", min_width=140, elem_id="compare-reference")
                        limit = gr.Radio(_LIMITS, value=16, label="Colour range ±", scale=2, elem_id="compare-limit")
                        signed = gr.Checkbox(True, label="With sign", min_width=120, elem_id="compare-signed")
                    maps = gallery("Differences on Y", "compare-maps")
                with gr.Accordion("The same region of all"):
                    with gr.Row(equal_height=False):
                        whole = picture("Click where to look closely", elem_id="compare-whole")
                        with gr.Column(min_width=200):
                            size = gr.Number(_WINDOW, precision=0, label="Size, pixels", elem_id="compare-size")
                            x, y = (gr.Number(precision=0, label=axis, elem_id=f"compare-{axis}") for axis in "xy")
                    crops = gallery("The region", "compare-crops")
                    buttons = onward(TAB)
                    draw = gr.Button("Draw the figure for a paper", elem_id="compare-draw")
                    figure = picture("Figure", elem_id="compare-figure")
                    files = gr.Files(label="Download", interactive=False, elem_id="compare-files")

    outputs = [shown, table, news]
    question = [image, way, hr_image, chosen, tile]
    belong(TAB, question)
    taken.load_input_event.then(**press(TAB))
    ran = start.click(
        run(compare_models, news),
        question,
        outputs,
        api_name="compare",
        **RUN,
    )
    opened = answered(asked, run(_compare_case, news), [asked, tile], outputs, **CLICK, **HEAVY)
    stoppable(cancel, news, ran, opened)

    pairing = toast(show_pair), [left, right, shown], pair
    subtracting = toast(show_differences), [reference, limit, signed, shown], maps
    looking = toast(look), [x, y, size, shown], [whole, crops]
    drawing = toast(draw_figure), [x, y, size, shown], [figure, files]
    gr.on([left.input, right.input], *pairing, api_name="compare_pair", **LIGHT)
    gr.on([reference.input, limit.input, signed.input], *subtracting, api_name="compare_differences", **LIGHT)
    gr.on([x.submit, y.submit, size.submit, x.blur, y.blur, size.blur], *looking, api_name="compare_at", **LIGHT)
    draw.click(*drawing, api_name="compare_figure", show_progress="minimal")
    export.click(toast(pack), shown, packed, api_name="compare_export", show_progress="minimal")
    whole.select(toast(_around), [size, shown], [x, y], **CLICK).then(*looking, **PRIVATE)
    for each in (ran, opened):
        offered = each.success(
            toast(_offer), [x, y, size, shown], [left, right, reference, x, y, size, figure, files, packed], **PRIVATE
        )
        for showing in (pairing, subtracting, looking):
            offered.then(*showing, **PRIVATE)

    for new_image in (sent.success, taken.load_input_event.then):
        new_image(lambda: (None, None), None, [x, y], **PRIVATE)
    way.change(lambda way: gr.Image(visible=way == "hr"), way, hr_image, **PRIVATE)
    source = Source(buttons, [image, way, chosen, x, y, size], _here)
    return source, Destination(TAB, [image, way, scale, chosen, x, y, size, asked], _case)


@on_device
def compare_models(
    image: Text | None, way: Text, hr_image: Text | None, names: Texts | None, tile: Text
) -> Iterator[tuple[Any, Any, str]]:
    """Upscale a photograph with several models of one scale, and scores them where there is an HR image.

    Args:
        image: path of the file that was sent.
        way: "shrink" takes it for the HR image and shrinks it first; "enlarge" upscales it as it is, without scores;
            "hr" does so and scores by `hr_image`.
        hr_image: path of the file that was sent.
        names: of the models, up to four.
        tile: "auto", "whole", or the side of the tiles in input pixels.

    Yields:
        What the page shows next: the session's comparison, the rows of the table, the status.

    Raises:
        UserError: any of these is impossible, or an image too large.
    """
    image = str(sent_file(image))
    networks = models.load_several(names or [])
    question = ask(Path(image), way, Path(hr_image) if hr_image else None, common_scale(networks))
    size = tile_of(tile)
    for network in networks:
        models.check_pass(network, size, *question.lr.shape[2:])

    job = status.Job({network.name: float(network.parameters > 0) for network in networks})

    def tell(step: Comparing) -> tuple[Any, Any, str]:
        return gr.skip(), gr.skip(), job.running(step.model, f"Upscaling with {step.model}", step.progress)

    comparison = yield from status.announced(compare(networks, question.lr, question.hr, size), tell)
    shown = keep(Path(image).stem, comparison, question.metadata)
    height, width = question.lr.shape[2:]
    facts = {"Input": f"{width} × {height}", "Output": f"{shown.width} × {shown.height}"}
    if shown.scored:
        facts["Border excluded from the scores"] = f"{shown.scale} pixels at the border"
        if min(shown.width, shown.height) - 2 * shown.scale < MS_SSIM_SIDE:
            facts["MS-SSIM"] = f"needs {MS_SSIM_SIDE} pixels a side within the border"
    yield shown, shown.rows, status.done(facts)


def _compare_case(asked: tuple[Any, ...], tile: Text) -> Iterator[tuple[Any, Any, str]]:
    _, image, way, names = asked
    yield from compare_models(image, way, None, names, tile)


def _case(place: Place) -> list[Any]:
    """Return the inputs that open a place here."""
    image, names, region = str(place.image), list(place.models), place.region
    chosen = gr.Dropdown(choices=models.of_scale(place.scale), value=names, multiselect=True)
    asked = new_question(image, place.way, names)
    return [image, place.way, place.scale, chosen, region.x, region.y, region.size, asked]


def _here(
    image: Text | None, way: Text, names: Texts | None, x: Whole | None, y: Whole | None, size: Whole | None
) -> Place:
    """Return the region, whose photograph is not shrunk if it has an HR image of its own."""
    region = region_of(x, y, size)
    middle = region.x + region.size // 2, region.y + region.size // 2
    return Place.around(image, "shrink" if way == "shrink" else "enlarge", names or [], *middle)


def show_pair(left: Text, right: Text, shown: Compared | None) -> tuple[str, str]:
    """Show two pictures of the comparison for the slider: "HR" (or "Input") or names of models.

    Raises:
        UserError: nothing has been compared yet, or there is no such picture.
    """
    there = _there(shown)
    return there.file(left), there.file(right)


def show_differences(reference: Text, limit: Whole, signed: Flag, shown: Compared | None) -> list[tuple[str, str]]:
    """Draw a map of every result minus the reference ("HR" or a model) on Y, up to so many grey levels.

    Raises:
        UserError: nothing has been compared yet, or there is no such picture.
    """
    return _there(shown).differences(reference, limit, signed)


def look(x: Whole, y: Whole, size: Whole, shown: Compared | None) -> tuple[str, list[tuple[str, str]]]:
    """Show the same square region of all pictures, by its top-left corner and size in output pixels.

    Raises:
        UserError: nothing has been compared yet, or the region leaves the image.
    """
    return _there(shown).look(region_of(x, y, size))


def draw_figure(x: Whole, y: Whole, size: Whole, shown: Compared | None) -> tuple[str, list[str]]:
    """Draw the region as a figure for a paper: to look at, and as PNG, PDF and SVG.

    Raises:
        UserError: as `look`.
    """
    files = _there(shown).figures(region_of(x, y, size))
    return files[0], files


def pack(shown: Compared | None) -> list[str]:
    """Write all images as a ZIP of PNG files, and the table of scores as CSV.

    Raises:
        UserError: nothing has been compared yet.
    """
    return _there(shown).export()


def _offer(x: Whole | None, y: Whole | None, size: Whole | None, shown: Compared) -> list[Any]:
    """Return the choices after a comparison, and a region that lies in the image."""
    pictures, region = list(shown.files), shown.fit(x, y, size or _WINDOW)
    references = shown.references
    return [
        gr.Dropdown(choices=pictures, value=pictures[1]),
        gr.Dropdown(choices=pictures, value=pictures[-1]),
        gr.Dropdown(choices=references, value=references[0]),
        region.x,
        region.y,
        region.size,
        None,
        None,
        None,
    ]


def _around(size: Whole | None, shown: Compared, event: gr.SelectData) -> tuple[int, int]:
    """Return the corner of the region around the pixel that was clicked on."""
    side = size or _WINDOW
    x, y = (middle - side // 2 for middle in point(event))
    region = shown.fit(x, y, side)
    return region.x, region.y


def _there(shown: Compared | None) -> Compared:
    if shown is None:
        raise UserError("There is nothing to show yet: choose a photograph and press Compare.")
    return shown
