"""The tab *Failures*: where in some photographs a model loses most to others, and each place opened in other tabs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.common.each_image import ImageStep
from analysis.common.figure_style import png, publish
from analysis.common.image_windows import Region
from analysis.failures.figure import draw_case, draw_texture
from analysis.failures.report import write_report
from analysis.failures.search import find_failures
from analysis.failures.study import Case, FailureStudy
from promptsr.evaluation.evaluate import decibels
from promptsr.imaging.decode import inspect
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import UserError
from workbench.server.arguments import Text, Texts, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models, speed
from workbench.sessions.pictures import new_folder
from workbench.sessions.places import Place
from workbench.sessions.uploads import displayable, read_photograph
from workbench.tabs.links import Question, TabSettings, onward
from workbench.ui import status
from workbench.ui.components import CLICK, LIGHT, PRIVATE, event_value, gallery, on_choice, photos, picture, toast
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import model_choice
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.start_bar import estimated, start_bar
from workbench.ui.tab_header import tab

_SAMPLE_SIDE = SIDES[2]
_WINDOW, _COUNT = 48, 6
_WAY = "shrunk and searched"
"""How pixels are counted by `speed`: those of the photographs as they were sent."""


@dataclass(frozen=True)
class Found:
    """A search as a session keeps it."""

    models: list[str]
    cases: list["FoundCase"]
    good_news: str
    """As `FailureStudy.good_news`."""


@dataclass(frozen=True)
class FoundCase:
    """A case as files."""

    image: Path
    region: Region
    figure: str
    """Path of the picture of the case."""
    caption: str
    facts: dict[str, str]


def build() -> TabSettings:
    """Add the tab to the page."""
    with tab("failures") as opened:
        found = gr.State(None)
        bar = start_bar(
            "failures",
            "Find failures",
            "Choose models and press Find failures: photographs are shrunk, upscaled and compared.",
        )
        news = bar.news
        with gr.Column(scale=2, min_width=320):
            files = photos(label="Photographs (leave empty to use the samples)", height=200, elem_id="failures-image")
            with gr.Group():
                model = model_choice(models.usable, value=models.favourite(), label="Model", elem_id="failures-model")
                against = model_choice(
                    models.rivals,
                    model,
                    value=[models.first_rival(models.favourite())],
                    multiselect=True,
                    max_choices=in_force().models_at_once - 1,
                    label="Compare against",
                    info="same scale",
                    elem_id="failures-against",
                )
                with gr.Row():
                    window = gr.Number(_WINDOW, precision=0, label="Window, pixels", min_width=100)
                    cases = gr.Number(_COUNT, precision=0, label="Show the worst", min_width=100)
        with (
            gr.Column(scale=5, min_width=320),
            gr.Column(elem_id="failures-results"),
            gr.Tabs(elem_classes="subtabs"),
        ):
            with gr.Tab("The worst places", elem_id="failures-sub-cases"):
                with gr.Row(equal_height=False, elem_id="failures-choice"):
                    number = gr.Number(1, precision=0, label="Case", min_width=80, elem_id="failures-case")
                    buttons = onward("failures")
                details = gr.HTML(elem_id="failures-details")
                closeup = picture("Case", show_label=False, elem_id="failures-closeup")
                hint = "<p>Click on a case to look at it above.</p>"
                gr.HTML(hint, js_on_load=None, elem_id="failures-hint", elem_classes="hint")
                shown = gallery("All cases, the worst first", "failures-cases", allow_preview=False)
            with gr.Tab("Error against texture", elem_id="failures-sub-texture"):
                chart = picture("Error against texture", show_label=False, elem_id="failures-chart")
            with gr.Tab("Report and tables", elem_id="failures-sub-report"):
                report = gr.Files(label="Report and tables", interactive=False, elem_id="failures-report")

    on_choice(model, toast(_offer_rivals), [model, against], against)
    settings = TabSettings(
        "failures",
        {"photo": files, "model": model, "against": against, "window": window, "cases": cases},
        bar,
        view={"case": number},
        offers={"against": lambda values: _offer_rivals(values["model"], [])},
        buttons=buttons,
        here_of=[number, found],
        here=_here,
    )
    outputs = [found, shown, chart, report, news]
    estimated("failures", bar.row, list(settings.asked.values()), _expected)
    ran, *asked = settings.start(search, outputs, api_name="failures")
    welcomed = _first_result.show(opened, [news, settings.question], outputs)
    describing = toast(describe), [number, found], [details, closeup]
    for each in (ran, welcomed):
        each.success(lambda: 1, None, number, **PRIVATE).then(*describing, **PRIVATE)
    for each in asked:
        each.success(toast(_asked_case), settings.question, number, **PRIVATE).then(*describing, **PRIVATE)
    number.change(*describing, api_name="failures_case", **LIGHT)
    shown.select(toast(_number), None, number, **CLICK)
    return settings


def warm() -> None:
    """Make the result that the tab opens with."""
    _first_result()


def _search_samples() -> tuple[Any, ...]:
    model = models.favourite()
    return [*search(None, model, [models.first_rival(model)], _WINDOW, _COUNT)][-1]


_first_result = FirstResult(_search_samples)


@on_device
def search(
    files: Texts | None, model: Text, against: Texts | None, window: Whole, cases: Whole
) -> Iterator[tuple[Any, ...]]:
    """Search photographs for the windows where a model loses most to the best of others.

    Args:
        files: paths of the files that were sent, taken as HR images; the samples if there are none.
        model: name of the model.
        against: names of one to three others of its scale, or "bicubic".
        window: side of the windows in pixels.
        cases: at most so many.

    Yields:
        What the page shows next: the session's cases, their pictures, the chart, the report's files, the status.

    Raises:
        UserError: any of these is impossible, or an image is unreadable or too large.
    """
    own = models.load(model)
    others = models.load_several(against or [], own.scale, beside=1)
    paths = _check(files) if files else {path.name: path for path in sample_paths(_SAMPLE_SIDE)}
    pairs = [(path, None) for path in paths.values()]
    tell = partial(_tell, status.Job({"": 1}, _expected(files, model, against, window, cases)))
    begun = time.monotonic()
    study = yield from status.announced(find_failures(own, others, pairs, window=window, count=cases), tell)
    speed.remember(_rate(model, against), _WAY, _pixels(list(paths.values())), time.monotonic() - begun)
    yield *[gr.skip()] * 4, status.running("Writing the report")
    folder = new_folder()
    write_report(study, folder)
    known = []
    for rank, case in enumerate(study.cases, start=1):
        figure = folder / f"case-{rank}.png"
        publish(draw_case(case), figure)
        region, caption = Region(case.x, case.y, case.window), f"{rank}. {_caption(case)}"
        known.append(FoundCase(paths[case.image], region, str(figure), caption, _facts(case)))
    chart = folder / "texture.png"
    chart.write_bytes(png(draw_texture(study.texture)))
    found, pictures = Found(list(study.models), known, study.good_news), [(case.figure, case.caption) for case in known]
    report = [str(folder / name) for name in ("report.html", "cases.csv", "texture.csv")]
    yield found, pictures, str(chart), report, status.done(_summary(study))


def _expected(files: Texts | None, model: Text, against: Texts | None, window: Whole, cases: Whole) -> float | None:
    """Return the seconds that a search will take, if there was one with these models before."""
    pixels = _pixels([Path(file) for file in files] if files else sample_paths(_SAMPLE_SIDE))
    return speed.total([_rate(model, against)], _WAY, pixels)


def _rate(model: str, against: Sequence[str] | None) -> str:
    return " ".join(["search:", model, *sorted(against or [])])


def _pixels(paths: Sequence[Path]) -> int:
    return sum(about.height * about.width for about in map(inspect, paths))


def describe(number: Whole, found: Found | None) -> tuple[str, str | None]:
    """Show one case in numbers and as a picture; cases count from 1. Without cases, say that it is good news.

    Raises:
        UserError: there is no such case.
    """
    if found is not None and not found.cases:
        return status.idle(found.good_news), None
    case = _case(number, found)[1]
    return status.definitions(case.facts), case.figure


def _asked_case(question: Question) -> int:
    return question.values.get("case") or 1


def _here(number: Whole, found: Found | None) -> Place:
    """Return the chosen case."""
    names, case = _case(number, found)
    return Place(Path(displayable(case.image)), "shrink", tuple(names), case.region)


def _case(number: int | None, found: Found | None) -> tuple[list[str], FoundCase]:
    """Return the names of the models and one case."""
    if found is None or not found.cases:
        raise UserError("There is no case: choose photographs and models, and press Find failures.")
    if number is None or not 1 <= number <= len(found.cases):
        raise UserError(f"There is no case {number}: choose one of 1 to {len(found.cases)}.")
    return found.models, found.cases[number - 1]


def _check(files: list[str]) -> dict[str, Path]:
    """Return the photographs by name; each can be read."""
    paths = {Path(file).name: Path(file) for file in files}
    if len(paths) < len(files):
        raise UserError("Two photographs have the same name: rename one of them.")
    if len(paths) > in_force().photos:
        raise UserError(f"Send up to {in_force().photos} photographs, not {len(paths)}: the command line takes more.")
    for path in paths.values():
        read_photograph(path)
    return paths


def _tell(job: status.Job, step: ImageStep) -> tuple[Any, ...]:
    text = f"{step.image} with {step.model}" if step.model else step.image
    return *[gr.skip()] * 4, job.running("", text, Progress(step.done, step.total), "photographs")


def _caption(case: Case) -> str:
    return f"{case.image} ({case.x}, {case.y}): {case.kind}, −{case.loss_db:.1f} dB against {case.against}"


def _facts(case: Case) -> dict[str, str]:
    return {
        "Photograph": case.image,
        "Place": f"{case.x}, {case.y}",
        "Kind": case.kind,
        "Loss": f"{case.loss_db:.2f} dB to {case.against}",
        **{name: f"{decibels(psnr)} dB" for name, psnr in case.psnr_y.items()},
        "Texture": f"{case.texture.gradient:.1f} grey levels per pixel",
    }


def _summary(study: FailureStudy) -> dict[str, str]:
    means = {f"{name}, mean PSNR-Y": f"{decibels(psnr)} dB" for name, psnr in study.mean("psnr_y").items()}
    means |= {
        f"{name}, without any error": f"{number} (not in the mean)" for name, number in study.perfect.items() if number
    }
    skipped = {"Left out": ", ".join(study.skipped)} if study.skipped else {}
    return {"Photographs": str(study.images), "Cases": str(len(study.cases)), **means, **skipped}


def _number(event: gr.SelectData) -> int:
    return event_value(event, "index", int) + 1


def _offer_rivals(model: Text, against: Texts) -> gr.Dropdown:
    names = models.rivals(model)
    return gr.Dropdown(choices=names, value=[name for name in against if name in names] or [models.first_rival(model)])
