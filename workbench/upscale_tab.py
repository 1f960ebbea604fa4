"""The tab *Upscale*: a photograph in, a larger one out, beside another model's, under a magnifier, and as a file."""

import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from promptsr.errors import UserError
from promptsr.imaging import decode, encode
from promptsr.upscale import Progress, Upscaler
from workbench import models, status
from workbench.components import (
    PRIVATE,
    RUN,
    choice,
    photo,
    picture,
    point,
    samples,
    slider,
    tile_of,
    tile_size,
    toast,
)
from workbench.results import Shown, new_folder, show
from workbench.status import announced

MAX_PIXELS = 4 * 2**20
"""Larger photographs are a matter for the command line."""
_SAMPLE_SIDE = 192
"""Pixels that take seconds to upscale."""
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}


def build() -> None:
    """Adds the tab to the page."""
    with gr.Tab("Upscale", id="upscale"), gr.Row(equal_height=False):
        shown = gr.State(None)
        with gr.Column(scale=2, min_width=320):
            image, _ = photo(MAX_PIXELS, label="Photograph", height=280, elem_id="upscale-image")
            samples(image, _SAMPLE_SIDE)
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
            with gr.Row():
                start = gr.Button("Upscale", variant="primary", elem_id="upscale-start")
                cancel = gr.Button("Cancel", elem_id="upscale-cancel")
        with gr.Column(scale=5, min_width=320):
            with gr.Row(equal_height=False):
                news = gr.HTML(
                    status.idle("Choose a photograph and press Upscale."), elem_id="upscale-status", min_width=300
                )
                download = gr.DownloadButton("Download", size="md", interactive=False, elem_id="upscale-download")
            pair = slider("upscale-slider")
            with gr.Accordion("Magnifier", elem_id="magnifier"):
                with gr.Row(equal_height=False):
                    result = picture("Click where to look closely", elem_id="magnifier-result")
                    with gr.Column(min_width=200):
                        zoom = gr.Slider(1, 24, 6, step=1, label="Zoom", elem_id="magnifier-zoom")
                        gr.Markdown("Below, the same square of all three, enlarged without smoothing.")
                        x, y = (gr.Number(precision=0, visible="hidden", elem_id=f"magnifier-{axis}") for axis in "xy")
                with gr.Row(equal_height=False):
                    closeups = [picture(n, elem_classes="closeup") for n in ("Input", "Comparison", "Result")]

    model.input(toast(_choose_rival), [model, compared], compared, **PRIVATE)
    run = start.click(
        toast(upscale),
        [image, model, compared, tile, file_format],
        [shown, pair, result, download, news],
        api_name="upscale",
        **RUN,
    )
    run.success(lambda: gr.DownloadButton(interactive=True), None, download, **PRIVATE)
    # To Gradio a cancelled run may or may not be a failed one.
    run.failure(lambda: status.idle("Stopped."), None, news, **PRIVATE)
    cancel.click(lambda: status.idle("Stopped."), None, news, cancels=[run], queue=False, **PRIVATE)

    magnifying = toast(magnify), [x, y, zoom, shown], closeups
    clicked = result.select(point, None, [x, y], **PRIVATE)
    clicked.then(*magnifying, api_name="magnify", show_progress="hidden")
    run.success(_middle, shown, [x, y], **PRIVATE).then(*magnifying, **PRIVATE)
    zoom.release(*magnifying, **PRIVATE)


def upscale(image: str, model: str, compare_with: str, tile: str, output_format: str) -> Iterator[tuple[Any, ...]]:
    """Upscales a photograph with two models of the same scale.

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
    if not image:
        raise UserError("There is no photograph yet: drop one, paste one, or take a sample.")
    if output_format not in list(_SUFFIXES):
        raise UserError(f"There is no format {output_format}: choose one of {', '.join(_SUFFIXES)}.")
    chosen = models.load(model)
    rival = models.load_rival(compare_with, chosen.scale)
    workers = [Upscaler(each, tile=tile_of(tile)) for each in (rival, chosen)]
    yield _news("Reading the photograph")
    photograph = decode(Path(image), max_pixels=MAX_PIXELS)
    results = []
    for name, worker in zip((rival.name, model), workers, strict=True):
        yield _news(f"Upscaling with {name}")
        with closing(worker.stream(photograph)) as steps:
            results.append((yield from announced(steps, partial(_news, f"Upscaling with {name}"))))
    yield _news("Writing the files")
    compared, result = results
    file = new_folder() / f"{Path(image).stem}-{model}{_SUFFIXES[output_format]}"
    encode(result.picture, file)
    shown = show(photograph, compared, result)
    news = status.finished(result, chosen.scale, rival.name, model, _peak_memory())
    yield shown, (str(shown.compared), str(shown.result)), str(shown.result), str(file), news


def magnify(x: int | None, y: int | None, zoom: int, shown: Shown | None) -> list[str]:
    """The same square of the input, the comparison and the result, around one pixel of the result.

    Raises:
        UserError: nothing has been upscaled yet, or the pixel lies outside.
    """
    if shown is None or x is None or y is None:
        raise UserError("There is nothing to magnify yet: upscale a photograph, then click on the result.")
    return shown.closeups(x, y, zoom)


def _news(text: str, progress: Progress | None = None) -> tuple[Any, ...]:
    return *[gr.skip()] * 4, status.running(text, progress)


def _choose_rival(model: str, compared: str) -> gr.Dropdown:
    names = models.rivals(model)
    return gr.Dropdown(choices=names, value=compared if compared in names else models.BICUBIC)


def _middle(shown: Shown) -> tuple[int, int]:
    return shown.scale * shown.width // 2, shown.scale * shown.height // 2


def _peak_memory() -> int | None:
    """Most bytes of memory that this process has ever held; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
