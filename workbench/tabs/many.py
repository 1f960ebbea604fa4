"""The tab *Many photographs*: all are upscaled alike, each with its state, and the results come as a ZIP file."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from promptsr.inference.upscaler import Progress
from promptsr.support.errors import UserError
from workbench.server.arguments import Flag, Real, Text, Texts, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models, speed
from workbench.sessions.many import Question
from workbench.sessions.upscale import FORMATS, MEMORY
from workbench.tabs.links import TabSettings
from workbench.ui import status
from workbench.ui.advanced import DEFAULTS, drawer, settings_of
from workbench.ui.components import CLICK, HEAVY, PRIVATE, RUN, choice, event_value, photos, run, stoppable, toast
from workbench.ui.download import Download
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import model_choice, suit
from workbench.ui.photo_list import photo_list
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import estimated, start_bar
from workbench.ui.status import announced
from workbench.ui.tab_header import tab

TAB = "many"
_SAMPLE_SIDE = SIDES[0]
_QUALITY = 95


def build() -> TabSettings:
    """Add the tab to the page, which opens with results of the samples."""
    with tab(TAB) as opened:
        bar = start_bar(TAB, "Upscale", "Choose photographs and press Upscale.")
        with bar.row:
            download, for_programs = Download(TAB), gr.Button(visible=False)
        with gr.Column(scale=2, min_width=320):
            files = photos(label=f"Photographs, up to {in_force().photos}", height=220, elem_id="many-image")
            with gr.Group():
                model = model_choice(models.usable, value=models.favourite(), label="Model", elem_id="many-model")
                file_format = choice(choices=list(FORMATS), value="PNG", label="Format", elem_id="many-format")
            advanced = drawer(TAB)
        with gr.Column(scale=5, min_width=320):
            shown = photo_list("many-list")
        suit(files, model)
    settings = TabSettings(
        TAB,
        {"photo": files, "model": model, "format": file_format, "quality": advanced.quality, **advanced.keys},
        bar,
    )
    question = list(settings.asked.values())
    estimated(TAB, bar.row, question, _expected)
    tile, *others = advanced.keys.values()
    asking = [files, model, tile, file_format, advanced.quality, *others]
    runs = settings.start(_upscale, [shown, bar.news], api_visibility="private")
    again = shown.select(run(_again, bar.news), question, [shown, bar.news], **CLICK, **HEAVY)
    stoppable(bar.cancel, bar.news, again)
    listing = toast(_listed), question, shown
    gr.on([each.change for each in question], *listing, **PRIVATE)
    for each in (*runs, again):
        each.failure(*listing, **PRIVATE)  # a stopped one is not at work any more
    download.connect(_pack, question, bar.news)
    for_programs.click(run(upscale_many, bar.news), asking, [shown, download.file, bar.news], **RUN)
    _first_result.show(opened, [bar.news, settings.question, *question], [shown, bar.news])
    return settings


def warm() -> None:
    """Make the result that the tab opens with."""
    _first_result()


def _upscale_samples() -> tuple[Any, ...]:
    return [*_upscale(None, models.favourite(), "PNG", _QUALITY, *DEFAULTS)][-1]


_first_result = FirstResult(_upscale_samples)


@on_device
def upscale_many(
    images: Texts | None,
    model: Text,
    tile: Text = "auto",
    output_format: Text = "PNG",
    quality: Whole = _QUALITY,
    memory: Whole = MEMORY,
    self_ensemble: Flag = False,
    device: Text = "cpu",
    size: Text = "model",
    amount: Real = 2.0,
    half: Flag = False,
) -> Iterator[tuple[Any, ...]]:
    """Upscale many photographs alike, of each the first frame; one that fails costs the others nothing.

    Args:
        images: paths of the files that were sent; the samples if there are none.
        model: name of the model.
        tile: "auto", "whole", or the side of the tiles in input pixels.
        output_format: PNG, JPEG, WebP or TIFF.
        quality: of JPEG and WebP, 1 to 100.
        memory: working memory of automatic tiles, MiB.
        self_ensemble: take the mean over the eight flips and turns, eight times slower.
        device: "cpu", "cuda:0", ...
        size: of the results: "model" for the scale of the model, or "scale", "width", "height" or "max_side".
        amount: of that: how many times larger, or pixels; "max_side" is the most that the longer side may have.
        half: compute in float16, which is faster on a GPU.

    Yields:
        What the page shows next: for each photograph its state, the name of its result in the ZIP file, its size, notes
        and a small picture; the ZIP file of the results; the status.

    Raises:
        UserError: any of these is impossible, or there are too many photographs.
    """
    question = _question(images, model, output_format, quality, tile, memory, self_ensemble, device, size, amount, half)
    news = ""
    for _, news in _work(question, question.waiting()):
        yield gr.skip(), gr.skip(), news
    yield question.rows(), str(question.pack()) if question.finished() else None, news


@on_device
def _upscale(images: Texts | None, model: Text, file_format: Text, quality: Whole, *drawn: Any) -> Iterator[Any]:
    """Upscale those that are not finished."""
    question = _question(images, model, file_format, quality, *drawn)
    yield from _work(question, question.waiting())


@on_device
def _again(
    event: gr.EventData, images: Texts | None, model: Text, file_format: Text, quality: Whole, *drawn: Any
) -> Iterator[Any]:
    """Upscale one of them."""
    question, index = _question(images, model, file_format, quality, *drawn), event_value(event, "index", int)
    if not 0 <= index < len(question.entries):
        raise UserError("There is no such photograph: choose one of the list.")
    yield from _work(question, [index])


def _work(question: Question, indices: Sequence[int]) -> Iterator[tuple[Any, str]]:
    """Upscale some of the photographs, and yield the state of all and the status."""
    worker, entries = question.settings.upscaler(models.load(question.model)), question.entries
    pixels = {index: entries[index].pixels for index in indices}
    name, way = question.settings.title(question.model), question.settings.way()
    expected = speed.total([name], way, sum(pixels.values()))
    job = status.Job({str(index): float(count) for index, count in pixels.items()}, expected)
    seconds = 0.0

    def tell(index: int, text: str, progress: Progress | None) -> tuple[Any, str]:
        return question.rows() if progress is None else gr.skip(), job.running(str(index), text, progress)

    for number, index in enumerate(indices, start=1):
        at_index = partial(tell, index, f"{entries[index].photo.name}, {number} of {len(indices)}")
        with question.at_work(entries[index]):
            yield at_index(None)
            taken = yield from announced(question.upscale(entries[index], worker), at_index)
        seconds += taken
        if taken:
            speed.remember(name, way, pixels[index], taken)
    finished, failed = len(question.finished()), len(question.waiting())
    facts = {"Model": name, "Finished": f"{finished} of {len(entries)}", "Time": f"{seconds:.1f} s"}
    yield question.rows(), status.done(facts | ({"Failed": str(failed)} if failed else {}))


def _listed(
    images: Texts | None, model: Text, file_format: Text, quality: Whole, *drawn: Any
) -> Iterator[list[dict[str, Any]]]:
    """Return what has become of the photographs with these settings so far; small pictures come one by one."""
    question = _question(images, model, file_format, quality, *drawn)
    yield question.rows()
    for _ in question.look():
        yield question.rows()


def _pack(images: Texts | None, model: Text, file_format: Text, quality: Whole, *drawn: Any) -> str:
    """Return the ZIP file of the results.

    Raises:
        UserError: none is finished.
    """
    return str(_question(images, model, file_format, quality, *drawn).pack())


def _expected(images: Texts | None, model: Text, file_format: Text, quality: Whole, *drawn: Any) -> float | None:
    """Return the seconds that those will take that are not finished, if they are known."""
    question = _question(images, model, file_format, quality, *drawn)
    pixels = sum(question.entries[index].pixels for index in question.waiting())
    names = [question.settings.title(model)]
    return speed.total(names, question.settings.way(), pixels)


def _question(images: list[str] | None, model: str, file_format: str, quality: int, *drawn: Any) -> Question:
    paths = [Path(image) for image in images] if images else sample_paths(_SAMPLE_SIDE)
    return Question(paths, model, file_format, quality, settings_of(*drawn))
