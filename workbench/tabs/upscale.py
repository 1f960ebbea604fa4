"""The tab *Upscale*: a photograph in, a larger one out, beside another model's, under a magnifier, and as a file."""

from collections.abc import Iterator
from contextvars import Context
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import gradio as gr

from promptsr.imaging import check_target, encode
from promptsr.imaging.decode import inspect
from promptsr.inference.upscaler import Estimate, Progress, Upscaler
from promptsr.support.errors import UserError
from workbench.server.arguments import Text, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models, speed
from workbench.sessions.pictures import new_file, new_folder
from workbench.sessions.places import Place
from workbench.sessions.uploads import about_frames, displayable, read_photograph, sent_file
from workbench.sessions.upscale import ZOOM, Shown, show
from workbench.tabs.links import Destination, Source, answered, new_question, onward
from workbench.ui import status
from workbench.ui.components import (
    CLICK,
    HEAVY,
    LIGHT,
    PRIVATE,
    RUN,
    choice,
    nothing,
    photo,
    picture,
    point,
    run,
    samples,
    slider,
    stoppable,
    tile_of,
    tile_size,
    toast,
)
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import belong, press, start_bar
from workbench.ui.status import announced
from workbench.ui.tab_header import tab

TAB = "upscale"
_SAMPLE_SIDE = SIDES[0]
"""Pixels that take seconds to upscale."""
_HINT = "Choose a photograph and press Upscale."
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}


def build(page: gr.Blocks) -> tuple[Source, Destination]:
    """Add the tab to the page, which opens with a result of a sample."""
    with tab(TAB):
        shown, asked = gr.State(None), gr.State(None)
        bar, start, cancel, news = start_bar(TAB, "Upscale", _HINT)
        with bar:
            estimate = gr.HTML(elem_id="upscale-estimate")
            download = gr.DownloadButton("Download", min_width=120, interactive=False, elem_id="upscale-download")
        with gr.Column(scale=2, min_width=320):
            sample = str(sample_paths(_SAMPLE_SIDE)[1])
            image, _ = photo(label="Photograph", value=sample, height=280, elem_id="upscale-image")
            samples(image, _SAMPLE_SIDE).load_input_event.then(**press(TAB))
            with gr.Group():
                model = choice(
                    choices=models.usable(), value=models.favourite(), label="Model", elem_id="upscale-model"
                )
                compared = choice(
                    choices=models.rivals(models.favourite()),
                    value=models.BICUBIC,
                    label="Compare with",
                    elem_id="upscale-compared",
                )
                with gr.Row():
                    tile = tile_size("upscale-tile")
                    file_format = choice(
                        choices=list(_SUFFIXES),
                        value="PNG",
                        label="Format",
                        info="of the download",
                        min_width=120,
                        elem_id="upscale-format",
                    )
        with gr.Column(scale=5, min_width=320):
            pair = slider("upscale-slider")
            with gr.Accordion("Magnifier", elem_id="magnifier"):
                with gr.Row(equal_height=False):
                    result = picture("Click where to look closely", elem_id="magnifier-result")
                    with gr.Column(min_width=200):
                        zoom = gr.Slider(1, ZOOM, 6, step=1, label="Zoom", elem_id="magnifier-zoom")
                        with gr.Group(), gr.Row():
                            x, y = (
                                gr.Number(precision=0, label=axis, min_width=90, elem_id=f"magnifier-{axis}")
                                for axis in "xy"
                            )
                        gr.Markdown("Below, the same square of all three, enlarged without smoothing.")
                        buttons = onward(TAB)
                with gr.Row(equal_height=False):
                    closeups = [picture(n, elem_classes="closeup") for n in ("Input", "Comparison", "Result")]

    model.input(toast(_choose_rival), [model, compared], compared, **PRIVATE)
    outputs = [shown, pair, result, download, news]
    question = [image, model, compared, tile, file_format]
    belong(TAB, question)
    estimating = toast(expect), [image, model, compared, tile], estimate
    gr.on([image.change, model.change, compared.change, tile.change], *estimating, **PRIVATE)
    ran = start.click(run(upscale, news), question, outputs, api_name="upscale", **RUN)
    opened = answered(asked, run(_upscale_asked, news), [asked, tile, file_format], outputs, **CLICK, **HEAVY)
    stoppable(cancel, news, ran, opened)
    magnifying = toast(magnify), [x, y, zoom, shown], closeups
    clicked = result.select(toast(_clicked), shown, [x, y], **CLICK)
    clicked.then(*magnifying, api_name="magnify", **LIGHT)
    welcomed = page.load(_welcome, None, outputs, **PRIVATE)
    late = welcomed.failure(warm, None, None, **PRIVATE).success(toast(_welcome_late), news, outputs, **PRIVATE)
    for each in (ran, opened, welcomed, late):
        each.success(lambda: gr.DownloadButton(interactive=True), None, download, **PRIVATE)
        each.success(toast(_middle), [shown, asked], [x, y], **PRIVATE).then(*magnifying, **PRIVATE)
    gr.on([zoom.release, x.submit, y.submit], *magnifying, **PRIVATE)
    return Source(buttons, [x, y, shown], _here), Destination(TAB, [image, model, compared, asked], _case)


@on_device
def upscale(
    image: Text | None, model: Text, compare_with: Text, tile: Text, output_format: Text
) -> Iterator[tuple[Any, ...]]:
    """Upscale a photograph with two models of the same scale.

    Args:
        image: path of the file that was sent.
        model: name of the model.
        compare_with: name of another one of its scale, or "bicubic".
        tile: "auto", "whole", or the side of the tiles in input pixels.
        output_format: PNG, JPEG, WebP or TIFF, for the download.

    Yields:
        What the page shows next: the session's results, both images, the result, the download, the status.

    Raises:
        UserError: any of these is impossible, or the image too large.
    """
    image = str(sent_file(image))
    if output_format not in list(_SUFFIXES):
        raise UserError(f"There is no format {output_format}: choose one of {', '.join(_SUFFIXES)}.")
    chosen = models.load(model)
    rival = models.load_rival(compare_with, chosen.scale)
    size = tile_of(tile)
    most = in_force().output_pixels
    workers = [  # bicubic as the rival is one fast pass
        Upscaler(rival, tile=size if rival.parameters else "auto", max_output_pixels=most),
        Upscaler(chosen, tile=size, max_output_pixels=most),
    ]
    yield _news("Reading the photograph")
    photograph = read_photograph(image)
    for each in (rival, chosen):
        models.check_pass(each, size, photograph.height, photograph.width)
    file = new_file(new_folder(), f"{Path(image).stem}-{model}", _SUFFIXES[output_format])
    check_target(file, chosen.scale * photograph.width, chosen.scale * photograph.height)
    sides, kind = (photograph.height, photograph.width), (photograph.bit_depth, photograph.alpha is not None)
    estimates = [each.estimate(*sides, bit_depth=kind[0], alpha=kind[1]) for each in workers]
    names, pixels, results = (rival.name, model), photograph.height * photograph.width, []
    networks = [name for name, each in zip(names, (rival, chosen), strict=True) if each.parameters]
    stages = {name: float(each.passes) if name in networks else 0 for name, each in zip(names, estimates, strict=True)}
    measured = speed.expected(networks, tile, pixels)
    job = status.Job(stages | measured, sum(measured.values()))
    for name, worker, estimate in zip(names, workers, estimates, strict=True):
        tell = partial(_tell, job, name, estimate)
        yield tell(None)
        results.append((yield from announced(worker.stream(photograph), tell)))
        speed.remember(name, tile, pixels, results[-1].seconds)
    yield _news("Writing the files")
    shown = show(Path(image), photograph, (rival.name, model), results)
    more = {}
    try:
        lost = encode(results[-1].picture, file)
    except UserError as error:  # nothing that is finished is thrown away
        lost, more["No download"] = [], str(error)
    if shown.reduction > 1:
        more["Shown"] = f"{shown.reduction} times smaller; the magnifier and the download have all pixels"
    if lost:
        more[f"Not kept in {output_format}"] = ", ".join(lost)
    if notes := [*photograph.metadata.notes, *filter(None, [about_frames(Path(image))])]:
        more["Photograph"] = " ".join(notes)
    news = status.finished(results, chosen.scale, rival.name, model, more)
    download = None if "No download" in more else str(file)
    yield shown, (str(shown.compared), str(shown.result)), str(shown.result), download, news


def magnify(x: Whole | None, y: Whole | None, zoom: Whole, shown: Shown | None) -> list[str]:
    """Show the same square of the input, the comparison and the result, around one pixel of the result.

    Raises:
        UserError: nothing has been upscaled yet, or the pixel lies outside.
    """
    if shown is None or x is None or y is None:
        raise UserError("There is nothing to magnify yet: upscale a photograph, then click on the result.")
    return shown.closeups(x, y, zoom)


def _news(text: str) -> tuple[Any, ...]:
    return *[gr.skip()] * 4, status.running(text)


def _tell(job: status.Job, name: str, size: Estimate, progress: Progress | None) -> tuple[Any, ...]:
    disk = f" and {size.disk / 1e6:.0f} MB of disk" if size.disk else ""
    text = f"Upscaling to {size.pixels / 1e6:.1f} megapixels with {size.memory / 1e6:.0f} MB of memory{disk}: {name}"
    return *[gr.skip()] * 4, job.running(name, text, progress)


def expect(image: Text | None, model: Text, compare_with: Text, tile: Text) -> str:
    """Say how long a run will take, if all its networks have run on this machine before, and nothing otherwise."""
    networks = [name for name in (compare_with, model) if not name.startswith(models.BICUBIC)]
    if not image or not networks:
        return ""
    try:
        about = inspect(sent_file(image))
    except UserError:  # which the photograph's own events tell
        return ""
    seconds = speed.expected(networks, tile, about.height * about.width)
    return f"About {status.duration(sum(seconds.values()))} on this machine." if seconds else ""


def _clicked(shown: Shown, event: gr.SelectData) -> tuple[int, int]:
    """Return the pixel of the result that was clicked on."""
    x, y = (shown.reduction * along for along in point(event))
    return x, y


def _choose_rival(model: Text, compared: Text) -> gr.Dropdown:
    names = models.rivals(model)
    return gr.Dropdown(choices=names, value=compared if compared in names else models.BICUBIC)


@on_device  # it is made once, also if somebody comes meanwhile
def warm() -> None:
    """Make the result that the page opens with, and build kernels that have to be built."""
    first_result()


def _welcome_late(news: str, request: gr.Request) -> tuple[Any, ...]:
    """Return that result when it had to be made first; nothing, if the person has asked for another by now."""
    if news != status.idle(_HINT):
        raise nothing()
    return _welcome(request)


def _welcome(request: gr.Request) -> tuple[Any, ...]:
    """Return a finished result for a page that opens; made once for everybody."""
    if request.query_params.get("sample") or not first_result.cache_info().currsize:  # a link asks for something else
        raise nothing()
    if not all(path.exists() for path in (first_result()[0].result, Path(first_result()[3]))):
        first_result.cache_clear()  # files live for a day
    return first_result()


@lru_cache(maxsize=1)
def first_result() -> tuple[Any, ...]:
    """Return the result that the page opens with."""
    question = str(sample_paths(_SAMPLE_SIDE)[1]), models.favourite(), models.BICUBIC, "auto", "PNG"
    return Context().run(lambda: [*upscale(*question)][-1])  # its status names no event: it is shown on many pages


def _upscale_asked(asked: tuple[Any, ...], tile: Text, output_format: Text) -> Iterator[tuple[Any, ...]]:
    _, image, model, rival, _, _ = asked
    yield from upscale(image, model, rival, tile, output_format)


def _case(place: Place) -> list[Any]:
    """Return the inputs that open a place here: its last network beside its first model."""
    names = sorted(place.models, key=lambda name: name.startswith(models.BICUBIC))
    model, rival = names[0], next(iter(names[1:]), models.BICUBIC)
    rival = models.BICUBIC if rival.startswith(models.BICUBIC) else rival
    x, y = (place.scale * along for along in place.pixel)
    chosen = gr.Dropdown(choices=models.rivals(model), value=rival)
    return [str(place.image), model, chosen, new_question(str(place.image), model, rival, x, y)]


def _here(x: Whole | None, y: Whole | None, shown: Shown | None) -> Place:
    """Return the place that is magnified."""
    if shown is None:
        raise UserError("There is no place yet: upscale a photograph first.")
    return Place.around(displayable(shown.photo), "enlarge", shown.models, x, y)


def _middle(shown: Shown, asked: tuple[Any, ...] | None) -> tuple[int, int]:
    """Return where the magnifier starts: the middle, or the place that was asked for."""
    if asked is not None and asked[1] == str(shown.photo):
        x, y = asked[-2:]
        return x, y
    return shown.scale * shown.width // 2, shown.scale * shown.height // 2
