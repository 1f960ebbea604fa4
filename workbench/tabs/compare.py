"""The tab *Compare*: up to four models on one photograph, with scores, a loupe, maps of differences and a figure."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.comparison.compare import Comparing, compare
from analysis.comparison.figure import difference_scale
from promptsr.imaging.decode import inspect
from promptsr.imaging.metrics import MS_SSIM_SIDE
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import common_scale
from workbench.server.arguments import Flag, Text, Texts, Whole
from workbench.server.device import on_device
from workbench.sessions import models, speed
from workbench.sessions.compare import WAYS, Compared, ask, keep, region_of
from workbench.sessions.places import Place
from workbench.sessions.uploads import sent_file
from workbench.sessions.upscale import UpscaleSettings
from workbench.tabs.links import TabSettings, Values, onward
from workbench.ui import status
from workbench.ui.color_bar import color_bar
from workbench.ui.components import (
    CLICK,
    LIGHT,
    PRIVATE,
    choice,
    event_value,
    gallery,
    nothing,
    photo,
    picture,
    samples,
    slider,
    suggestions,
    table_of,
    tile_size,
    toast,
)
from workbench.ui.first_result import FirstResult
from workbench.ui.loupe import loupe
from workbench.ui.model_choice import models_offered, scale_and_models
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import estimated, press, start_bar
from workbench.ui.tab_header import tab

TAB = "compare"
_SAMPLE_SIDE = SIDES[2]
"""Pixels that are shrunk first, so that networks take seconds for them."""
_SCALE = 4
_WINDOW = 64
"""Side of the region in pixels, to begin with."""
_LOUPE = "compare-sub-loupe"
_LIMITS, _LIMIT = [8, 16, 32, 64], 16
"""Grey levels where the colours of a map end, and those to begin with."""
# The browser renders the scores, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Model</th><th>PSNR-Y, dB</th><th>SSIM-Y</th><th>MS-SSIM</th>
<th title="Gradient magnitude similarity deviation: 0 is best">GMSD</th>
${['lpips', 'dists'].filter(key => key in value[0]).map(key =>
  `<th title="Perceptual distance by pyiqa: 0 is best">${key.toUpperCase()}</th>`).join('')}<th>Time, s</th>
<th>Parameters</th></tr></thead><tbody>${value.map(row => {
  const score = (key, digits, pick = Math.max) => {
    const text = number => number === null ? '–' : number.toFixed(digits);
    const most = pick(...value.map(r => r[key]));
    const best = value.length > 1 && row[key] !== null && text(row[key]) === text(most);
    return `<td>${best ? '<b>' : ''}${text(row[key])}${best ? '</b>' : ''}</td>`;
  };
  return `<tr><th>${new Option(row.model).innerHTML}</th>${score('psnr_y', 2)}${score('ssim_y', 4)}
${score('ms_ssim', 4)}${score('gmsd', 4, Math.min)}
${['lpips', 'dists'].filter(key => key in row).map(key => score(key, 4, Math.min)).join('')}
<td>${row.seconds.toFixed(2)}</td><td>${row.parameters.toLocaleString('en')}</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def build() -> TabSettings:
    """Add the tab to the page."""
    with tab(TAB) as panel:
        shown = gr.State(None)
        controls = start_bar(TAB, "Compare", "Choose a photograph and press Compare.")
        news = controls.news
        with gr.Column(scale=2, min_width=320):
            sample = str(sample_paths(_SAMPLE_SIDE)[1])
            image, sent = photo(label="Photograph", value=sample, height=280, elem_id="compare-image")
            taken = samples(image, _SAMPLE_SIDE)
            way = gr.Radio(list(WAYS.items()), value="shrink", label="Mode", elem_id="compare-way")
            hr_image, _ = photo(label="Original (HR image)", height=200, visible=False, elem_id="compare-hr")
            with gr.Group():
                scale, chosen, _ = scale_and_models("compare", _SCALE)
                tile = tile_size("compare-tile")
        with gr.Column(scale=5, min_width=320):
            table = table_of(_TABLE, "compare-table")
            with gr.Column(elem_id="compare-results"), gr.Tabs(elem_classes="subtabs") as subtabs:
                with gr.Tab("Slider", elem_id="compare-sub-slider"):
                    pair = slider("compare-slider")
                    with gr.Row():
                        left, right = (
                            choice(label=side, min_width=140, elem_id=f"compare-{side.lower()}")
                            for side in ("Left", "Right")
                        )
                with gr.Tab("Loupe", id=_LOUPE, elem_id=_LOUPE):
                    lens = loupe("compare-loupe")
                    suggested = suggestions(TAB)
                    with gr.Group(), gr.Row():
                        x, y = (
                            gr.Number(precision=0, label=axis, min_width=90, elem_id=f"compare-{axis}") for axis in "xy"
                        )
                        size = gr.Number(
                            _WINDOW, precision=0, label="Size, pixels", min_width=90, elem_id="compare-size"
                        )
                    buttons = onward(TAB)
                with gr.Tab("Differences", elem_id="compare-sub-differences"):
                    with gr.Row():
                        reference = choice(label="Difference to", min_width=140, elem_id="compare-reference")
                        limit = gr.Radio(
                            _LIMITS, value=_LIMIT, label="Colour range ±", scale=2, elem_id="compare-limit"
                        )
                        signed = gr.Checkbox(True, label="With sign", min_width=120, elem_id="compare-signed")
                    bar = gr.HTML(js_on_load=None, apply_default_css=False, elem_id="compare-colors")
                    maps = gallery("Differences on Y", "compare-maps")
                with gr.Tab("Figure and files", elem_id="compare-sub-files"):
                    with gr.Row():
                        draw = gr.Button("Draw the place as a figure for a paper", elem_id="compare-draw")
                        export = gr.Button("Export images and scores", elem_id="compare-export")
                    figure = picture("Figure", elem_id="compare-figure")
                    files = gr.Files(label="Download", interactive=False, elem_id="compare-files")
                    packed = gr.Files(
                        label="Images (ZIP) and scores (CSV)", interactive=False, elem_id="compare-export-files"
                    )

    outputs = [shown, table, news]
    settings = TabSettings(
        TAB,
        {"photo": image, "way": way, "hr": hr_image, "model": chosen, "tile": tile},
        controls,
        view={"scale": scale, "x": x, "y": y, "size": size, "limit": limit, "signed": signed},
        offers={"model": lambda values: models_offered(values["scale"])},
        place=_case,
        buttons=buttons,
        here_of=[image, way, chosen, x, y, size],
        here=_here,
    )
    taken.load_input_event.then(**press(TAB))
    estimated(TAB, controls.row, list(settings.asked.values()), _expected)
    runs = settings.start(compare_models, outputs, api_name="compare")

    pairing = toast(show_pair), [left, right, shown], pair
    subtracting = toast(show_differences), [reference, limit, signed, shown], [maps, bar]
    looking = toast(look), [x, y, size, shown], lens
    drawing = toast(draw_figure), [x, y, size, shown], [figure, files]
    gr.on([left.input, right.input], *pairing, api_name="compare_pair", **LIGHT)
    gr.on([reference.input, limit.input, signed.input], *subtracting, api_name="compare_differences", **LIGHT)
    gr.on([x.submit, y.submit, size.submit, x.blur, y.blur, size.blur], *looking, api_name="compare_at", **LIGHT)
    draw.click(*drawing, api_name="compare_figure", show_progress="minimal")
    export.click(toast(pack), shown, packed, api_name="compare_export", show_progress="minimal")
    lens.click(toast(_clicked), None, [x, y], **CLICK).then(*looking, **PRIVATE)
    for kind, button in suggested.items():
        button.click(toast(partial(suggest, kind)), [size, shown], [x, y, size], **PRIVATE).success(*looking, **PRIVATE)
    offering = toast(_offer), shown, [left, right, reference, figure, files, packed]
    views = [x, y, size, pair, maps, bar, lens]
    for each in runs[1:]:  # asked for from elsewhere
        each.success(toast(_open_place), x, subtabs, **PRIVATE)
    for each in runs:
        each.success(*offering, **PRIVATE)
        each.success(toast(present), [x, y, size, limit, signed, shown], views, **PRIVATE)
    first_result.show(panel, [news, settings.question, x], [*outputs, *views]).success(*offering, **PRIVATE)

    for new_image in (sent.success, taken.load_input_event.then):
        new_image(lambda: (None, None), None, [x, y], **PRIVATE)
    way.change(lambda way: gr.Image(visible=way == "hr"), way, hr_image, **PRIVATE)
    return settings


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
    settings = UpscaleSettings(tile)
    for network in networks:
        models.check_pass(network, settings.tile_size, *question.lr.shape[2:])

    how, pixels = settings.way(), question.lr.shape[2] * question.lr.shape[3]
    known = speed.expected(names or [], how, pixels)
    job = status.Job({each.name: float(each.parameters > 0) for each in networks} | known, sum(known.values()))

    def tell(step: Comparing) -> tuple[Any, Any, str]:
        return gr.skip(), gr.skip(), job.running(step.model, f"Upscaling with {step.model}", step.progress)

    comparison = yield from status.announced(compare(networks, question.lr, question.hr, settings.tile_size), tell)
    for result in comparison.results:
        speed.remember(result.model, how, pixels, result.seconds)
    shown = keep(Path(image).stem, comparison, question.metadata)
    height, width = question.lr.shape[2:]
    facts = {"Input": f"{width} × {height}", "Output": f"{shown.width} × {shown.height}"}
    if shown.scored:
        facts["Border excluded from the scores"] = f"{shown.scale} pixels at the border"
        if min(shown.width, shown.height) - 2 * shown.scale < MS_SSIM_SIDE:
            facts["MS-SSIM"] = f"needs {MS_SSIM_SIDE} pixels a side within the border"
    yield shown, shown.rows, status.done(facts)


def _expected(image: Text | None, way: Text, hr_image: Text | None, names: Texts | None, tile: Text) -> float | None:
    """Return the seconds that a comparison will take, if all its networks have run in this way before."""
    about, scale = inspect(sent_file(image)), models.scale_of((names or [""])[0])
    pixels = about.height * about.width // (scale**2 if way == "shrink" else 1)
    return speed.total(names or [], UpscaleSettings(tile).way(), pixels)


def _case(place: Place) -> Values:
    """Return what opens a place here."""
    region = place.region
    corner = {"x": region.x, "y": region.y, "size": region.size}
    models_of = {"scale": place.scale, "model": list(place.models)}
    return {"photo": str(place.image), "way": place.way, "hr": None, **models_of, **corner}


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


def show_differences(
    reference: Text, limit: Whole, signed: Flag, shown: Compared | None
) -> tuple[list[tuple[str, str]], str]:
    """Draw a map of every result minus the reference ("HR" or a model) on Y, and the scale of colours of all.

    Args:
        reference: what is subtracted.
        limit: grey levels where the colours end.
        signed: blue below 0 and red above; else the absolute value.
        shown: the session's comparison.

    Raises:
        UserError: nothing has been compared yet, or there is no such picture.
    """
    maps = _there(shown).differences(reference, limit, signed)
    return maps, color_bar(*difference_scale(limit, signed), "grey levels of Y, the same for every map")


def look(x: Whole, y: Whole, size: Whole, shown: Compared | None) -> dict[str, Any]:
    """Show the same square region of all pictures, by its top-left corner and size in output pixels, with its scores.

    Raises:
        UserError: nothing has been compared yet, or the region leaves the image.
    """
    return _there(shown).look(region_of(x, y, size))


def suggest(kind: Text, size: Whole | None, shown: Compared | None) -> tuple[int, int, int]:
    """Return the corner and the size of a region worth a look, of a kind of `analysis.common.suggestions`.

    Raises:
        UserError: nothing has been compared yet, or as `analysis.common.suggestions.suggest`.
    """
    region = _there(shown).suggest(kind, size or _WINDOW)
    return region.x, region.y, region.size


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


def present(
    x: Whole | None, y: Whole | None, size: Whole | None, limit: Whole, signed: Flag, shown: Compared
) -> tuple[Any, ...]:
    """Return what a comparison opens with: the region that was asked for or where results differ most, and all views.

    Raises:
        UserError: the size is below 1.
    """
    if x is None and y is None and len(shown.rows) > 1:
        region = shown.suggest("disagreement", size or _WINDOW)
    else:
        region = shown.fit(x, y, size or _WINDOW)
    names = list(shown.files)
    pair = show_pair(names[1], names[-1], shown)
    maps, bar = show_differences(shown.references[0], limit, signed, shown)
    return region.x, region.y, region.size, pair, maps, bar, shown.look(region)


def _first_result() -> tuple[Any, ...]:
    question = str(sample_paths(_SAMPLE_SIDE)[1]), "shrink", None, models.pair(_SCALE), "auto"
    *_, (shown, rows, news) = compare_models(*question)
    return shown, rows, news, *present(None, None, _WINDOW, _LIMIT, True, shown)


first_result = FirstResult(_first_result)


def warm() -> None:
    """Make the result that the tab opens with."""
    first_result()


def _open_place(x: Whole | None) -> gr.Tabs:
    """Open the loupe where a place is asked for."""
    if x is None:
        raise nothing()
    return gr.Tabs(selected=_LOUPE)


def _offer(shown: Compared) -> list[Any]:
    """Return the choices after a comparison, without the files of the last one."""
    pictures, references = list(shown.files), shown.references
    return [
        gr.Dropdown(choices=pictures, value=pictures[1]),
        gr.Dropdown(choices=pictures, value=pictures[-1]),
        gr.Dropdown(choices=references, value=references[0]),
        None,
        None,
        None,
    ]


def _clicked(event: gr.EventData) -> tuple[int, int]:
    """Return the corner of the region that the loupe shows."""
    return event_value(event, "x", int), event_value(event, "y", int)


def _there(shown: Compared | None) -> Compared:
    if shown is None:
        raise UserError("There is nothing to show yet: choose a photograph and press Compare.")
    return shown
