"""The tab *Upscale*: a photograph in, a larger one out, beside another model's, under a magnifier, and as a file."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from promptsr.imaging import check_target
from promptsr.imaging.decode import inspect
from promptsr.inference.upscaler import Estimate, Progress, UpscaleResult
from promptsr.support.errors import UserError
from promptsr.support.progress import map_progress
from workbench.server.arguments import Flag, Real, Text, Whole
from workbench.server.device import on_device
from workbench.sessions import models, speed
from workbench.sessions.growing import Growing
from workbench.sessions.places import Place
from workbench.sessions.uploads import about_frames, displayable, read_photograph, sent_file
from workbench.sessions.upscale import (
    FORMATS,
    MEMORY,
    Shown,
    UpscaleSettings,
    canvas,
    show,
    suffix_of,
)
from workbench.tabs.history import Results
from workbench.tabs.links import Question, TabSettings, Values
from workbench.tabs.magnifier import magnifier
from workbench.ui import status
from workbench.ui.advanced import DEFAULTS, drawer, settings_of
from workbench.ui.components import (
    PRIVATE,
    RUN,
    choice,
    nothing,
    on_choice,
    photo,
    picture,
    run,
    samples,
    slider,
    toast,
)
from workbench.ui.download import Download
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import model_choice, suit
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import estimated, press, start_bar
from workbench.ui.status import announced
from workbench.ui.tab_header import tab

TAB = "upscale"
_SAMPLE_SIDE = SIDES[0]
"""Pixels that take seconds to upscale."""
_HINT = "Choose a photograph and press Upscale."


def build(page: gr.Blocks) -> TabSettings:
    """Add the tab to the page, which opens with a result of a sample."""
    with tab(TAB):
        shown = gr.State(None)
        bar = start_bar(TAB, "Upscale", _HINT)
        news = bar.news
        with bar.row:
            download = Download(TAB)
            for_programs = gr.Button(visible=False)
        with gr.Column(scale=2, min_width=320):
            sample = str(sample_paths(_SAMPLE_SIDE)[1])
            image, _ = photo(label="Photograph", value=sample, height=280, elem_id="upscale-image")
            samples(image, _SAMPLE_SIDE).load_input_event.then(**press(TAB))
            with gr.Group():
                model = model_choice(models.usable, value=models.favourite(), label="Model", elem_id="upscale-model")
                compared = model_choice(
                    models.rivals, model, value=models.BICUBIC, label="Compare with", elem_id="upscale-compared"
                )
                file_format = choice(
                    choices=list(FORMATS), value="PNG", label="Format of the download", elem_id="upscale-format"
                )
            advanced = drawer(TAB)
        with gr.Column(scale=5, min_width=320):
            growing = picture("So far", show_label=False, elem_id="upscale-growing")
            pair = slider("upscale-slider")
            results = Results("upscale-results")
            glass = magnifier(TAB, shown)
        suited = suit(image, model)

    on_choice(model, toast(_choose_rival), [model, compared], compared)
    suited.success(toast(_choose_rival), [model, compared], compared, **PRIVATE)
    outputs = [shown, pair, glass.result, growing, news]
    chosen = [file_format, advanced.quality]
    settings = TabSettings(
        TAB,
        {"photo": image, "model": model, "against": compared, **advanced.keys},
        bar,
        view={"format": chosen[0], "quality": chosen[1], "x": glass.x, "y": glass.y, "zoom": glass.zoom},
        offers={"against": lambda values: _choose_rival(values["model"], models.BICUBIC)},
        place=_case,
        buttons=glass.buttons,
        here_of=[glass.x, glass.y, shown],
        here=_here,
    )
    estimated(TAB, bar.row, list(settings.asked.values()), _expected)
    runs = settings.start(_upscale, outputs, api_visibility="private")
    download.connect(_save, [*chosen, shown], news)
    tile, *others = advanced.keys.values()
    asking = [image, model, compared, tile, *chosen, *others]
    answers = [shown, pair, glass.result, download.file, news]
    for_programs.click(run(upscale, news), asking, answers, **RUN)
    welcomed = page.load(_welcome, None, outputs, **PRIVATE)
    late = welcomed.failure(warm, None, None, **PRIVATE).success(toast(_welcome_late), news, outputs, **PRIVATE)
    for each in (*runs, welcomed, late):
        results.remember(each, shown)
        glass.follow(each.success(toast(_place), [shown, settings.question], [glass.x, glass.y], **PRIVATE))
    glass.follow(results.connect(_again, [*settings.asked.values(), *outputs], [glass.x, glass.y]))
    return settings


@on_device
def upscale(
    image: Text | None,
    model: Text,
    compare_with: Text = models.BICUBIC,
    tile: Text = "auto",
    output_format: Text = "PNG",
    quality: Whole = 95,
    memory: Whole = MEMORY,
    self_ensemble: Flag = False,
    device: Text = "cpu",
    size: Text = "model",
    amount: Real = 2.0,
    half: Flag = False,
) -> Iterator[tuple[Any, ...]]:
    """Upscale a photograph with two models of the same scale.

    Args:
        image: path of the file that was sent.
        model: name of the model.
        compare_with: name of another one of its scale, or "bicubic".
        tile: "auto", "whole", or the side of the tiles in input pixels.
        output_format: PNG, JPEG, WebP or TIFF, for the download.
        quality: of JPEG and WebP, 1 to 100.
        memory: working memory of automatic tiles, MiB.
        self_ensemble: take the mean over the eight flips and turns, eight times slower.
        device: "cpu", "cuda:0", ...
        size: of the result: "model" for the scale of the model, or "scale", "width", "height" or "max_side".
        amount: of that: how many times larger, or pixels; "max_side" is the most that the longer side may have.
        half: compute in float16, which is faster on a GPU.

    Yields:
        What the page shows next: the session's results, both images, the result, the download, the status.

    Raises:
        UserError: any of these is impossible, or the image too large.
    """
    settings = settings_of(tile, memory, self_ensemble, device, size, amount, half)
    suffix, about = suffix_of(output_format), inspect(sent_file(image))
    pixels = settings.size.of(about.height, about.width, models.scale_of(model))
    check_target(Path(f"{model}{suffix}"), *reversed(pixels))
    work = _enlarge(image, model, compare_with, settings)
    shown, finished = yield from map_progress(work, lambda step: (*[gr.skip()] * 4, step[1]))
    file, facts = None, {}
    try:
        path, lost = shown.download(output_format, quality)
        file, facts = str(path), {f"Not kept in {output_format}": ", ".join(lost)} if lost else {}
    except UserError as error:  # nothing that is finished is thrown away
        facts = {"No download": str(error)}
    yield *_views(shown), file, finished(facts)


@on_device
def _upscale(image: Text | None, model: Text, compare_with: Text, *drawn: Any) -> Iterator[tuple[Any, ...]]:
    """Upscale a photograph with two models for the page, with the values of the drawer."""
    work = _enlarge(image, model, compare_with, settings_of(*drawn), grow=True)
    shown, finished = yield from map_progress(work, lambda step: (*[gr.skip()] * 3, *step))
    news = finished({})
    shown = replace(shown, question=(image, model, compare_with, *drawn), run=status.run_id(), news=news)
    yield *_views(shown), None, news


def _enlarge(
    image: str | None, model: str, compare_with: str, settings: UpscaleSettings, grow: bool = False
) -> Generator[tuple[Any, str], None, tuple[Shown, Callable[[Mapping[str, str]], str]]]:
    """Upscale a photograph with two models of the same scale.

    Yields:
        What is to be seen of the result by now (None: nothing), and the status.

    Returns:
        The result, and what makes its status of further facts.
    """
    path = sent_file(image)
    chosen = models.load(model)
    rival = models.load_rival(compare_with, chosen.scale)
    ways = [replace(settings, ensemble=False), settings]
    workers = [way.upscaler(each) for way, each in zip(ways, (rival, chosen), strict=True)]
    yield None, status.running("Reading the photograph")
    photograph = read_photograph(image)
    height, width, scale = photograph.height, photograph.width, chosen.scale
    for each in (rival, chosen):
        settings.check_pass(each, height, width)
    names = rival.name, settings.title(model)
    kind: dict[str, Any] = {"bit_depth": photograph.bit_depth, "alpha": photograph.alpha is not None}
    estimates = [each.estimate(height, width, **kind) for each in workers]
    networks = [name for name, each in zip(names, (rival, chosen), strict=True) if each.parameters]
    stages = {name: float(each.passes) if name in networks else 0 for name, each in zip(names, estimates, strict=True)}
    measured = speed.expected(names, settings.way(), height * width)
    job = status.Job(stages | measured, sum(measured.values()))
    results: list[UpscaleResult] = []
    views = None
    for name, worker, estimate in zip(names, workers, estimates, strict=True):
        into = None
        if grow and results and name in networks and estimate.passes > 1:
            into = canvas(results[0].picture, scale * height, scale * width)
            views = Growing(into)
        tell = partial(_tell, job, name, estimate, views)
        yield tell(None)
        results.append((yield from announced(worker.stream(photograph, into), tell)))
        if name in networks:
            speed.remember(name, settings.way(), height * width, results[-1].seconds)
    yield gr.skip(), status.running("Writing the files")
    shown = show(path, photograph, (rival.name, model), scale, results, f"{path.stem}-{names[1]}")
    more = {}
    if shown.reduction > 1:
        more["Shown"] = f"{shown.reduction} times smaller; the magnifier and the download have all pixels"
    if notes := [*photograph.metadata.notes, *filter(None, [about_frames(path)])]:
        more["Photograph"] = " ".join(notes)
    return shown, lambda facts: status.finished(results, (width, height), *names, {**more, **facts})


def _views(shown: Shown) -> tuple[Any, ...]:
    """Return what the page shows of a result: itself, both sides of the slider, and the picture to click on."""
    return shown, (str(shown.compared), str(shown.result)), str(shown.result)


def _again(shown: Shown) -> tuple[Any, ...]:
    """Return the settings of a result and what the page shows of it, but for its status."""
    image, model, compared, *drawn = shown.question
    offered = gr.Dropdown(choices=models.rivals(model), value=compared)
    return image, model, offered, *drawn, *_views(shown), None


def _save(file_format: Text, quality: Whole, shown: Shown | None) -> str:
    """Return the file of the result in a format, and tell what that cannot keep.

    Raises:
        UserError: there is no result yet, or it cannot be written in this format.
    """
    if shown is None:
        raise UserError("There is nothing to download yet: upscale a photograph first.")
    file, lost = shown.download(file_format, quality)
    if lost:
        gr.Info(f"{file_format} does not keep {', '.join(lost)}. PNG and TIFF keep more.")
    return str(file)


def _tell(
    job: status.Job, name: str, size: Estimate, views: Growing | None, progress: Progress | None
) -> tuple[Any, str]:
    disk = f" and {size.disk / 1e6:.0f} MB of disk" if size.disk else ""
    text = f"Upscaling to {size.pixels / 1e6:.1f} megapixels with {size.memory / 1e6:.0f} MB of memory{disk}: {name}"
    view = views and progress and views.view()
    return str(view) if view else gr.skip(), job.running(name, text, progress)


def _expected(image: Text | None, model: Text, compare_with: Text, *drawn: Any) -> float | None:
    """Return the seconds that a run will take, if all its networks have run in this way on this machine before."""
    settings, about = settings_of(*drawn), inspect(sent_file(image))
    names = [compare_with, settings.title(model)]
    return speed.total(names, settings.way(), about.height * about.width)


def _choose_rival(model: Text, compared: Text) -> gr.Dropdown:
    names = models.rivals(model)
    return gr.Dropdown(choices=names, value=compared if compared in names else models.BICUBIC)


def warm() -> None:
    """Make the result that the page opens with, and build kernels that have to be built."""
    _first_result()


def _upscale_sample() -> tuple[Any, ...]:
    question = str(sample_paths(_SAMPLE_SIDE)[1]), models.favourite(), models.BICUBIC, *DEFAULTS
    return [*_upscale(*question)][-1]


_first_result = FirstResult(_upscale_sample)


def _welcome_late(news: str, request: gr.Request) -> tuple[Any, ...]:
    """Return that result when it had to be made first; nothing, if the person has asked for another by now."""
    if news != status.idle(_HINT):
        raise nothing()
    return _welcome(request)


def _welcome(request: gr.Request) -> tuple[Any, ...]:
    """Return that result for a page that opens, unless its link asks for something else or it is still to be made."""
    if {"photo", "sample"} & set(request.query_params) or not _first_result.is_ready:
        raise nothing()
    return _first_result()


def _case(place: Place) -> Values:
    """Return what opens a place here: its last network beside its first model."""
    names = sorted(place.models, key=lambda name: name.startswith(models.BICUBIC))
    model, rival = names[0], next(iter(names[1:]), models.BICUBIC)
    rival = models.BICUBIC if rival.startswith(models.BICUBIC) else rival
    return {"photo": str(place.image), "model": model, "against": rival}


def _here(x: Whole | None, y: Whole | None, shown: Shown | None) -> Place:
    """Return the place that is magnified."""
    if shown is None:
        raise UserError("There is no place yet: upscale a photograph first.")
    if x is not None and y is not None:
        x, y = (shown.scale * shown.width * along // shown.picture.width for along in (x, y))
    return Place.around(displayable(shown.photo), "enlarge", shown.models, x, y)


def _place(shown: Shown, question: Question | None) -> tuple[int, int]:
    """Return where the magnifier starts: where both results differ most, or the place that was asked for."""
    if question is None or question.values["photo"] != str(shown.photo):
        return shown.start
    if question.place is not None:
        x, y = (along * shown.picture.width // shown.width for along in question.place.pixel)
        return x, y
    asked = question.values["x"], question.values["y"]
    return shown.start if None in asked else asked
