"""The tab *Anchors*: anchor prompts of many images as points (Fig. 11), the image behind each, and the numbers."""

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from analysis.anchors.collect import Collecting
from analysis.anchors.export import write_study
from analysis.anchors.image_folders import find_image_set
from analysis.anchors.points import LIMIT
from analysis.anchors.study import Stage, analyse, check_settings, collect_variants
from analysis.common.samples import write_crops
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import UserError
from promptsr.zoo.fingerprint import fingerprint
from workbench.server.arguments import Real, Text, Whole
from workbench.server.device import on_device
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.anchors import ALL, Studied, shipped
from workbench.sessions.archives import unpack
from workbench.sessions.pictures import new_folder
from workbench.tabs.links import TabSettings
from workbench.ui import status
from workbench.ui.components import (
    CLICK,
    LIGHT,
    PRIVATE,
    archive,
    choice,
    event_value,
    gallery,
    nothing,
    on_choice,
    picture,
    table_of,
    toast,
)
from workbench.ui.first_result import FirstResult
from workbench.ui.model_choice import model_choice
from workbench.ui.scatter import ON_LOAD, scatter
from workbench.ui.start_bar import start_bar
from workbench.ui.tab_header import tab

_WAYS = [
    ("the mean of its anchors", "mean"),
    ("all anchors in one vector", "flattened"),
    ("one dot per anchor", "anchors"),
]
_K, _PERMUTATIONS = 5, 999
_POINTS = LIMIT // 2
"""At most so many of every group, if every anchor is a point: a browser has to draw them."""
_CLICK = '<p class="hint">Click on a dot: its image and the nearest ones appear here.</p>'
_HELP = """Every residual group of the network makes anchor prompts of an image, and each dot is an
image in one group, laid out by t-SNE so that what is alike lies close together. The paper finds that the groups lie
apart (*All groups*) and that the categories of images do not (*Group 1*, *Group 4*). The picture alone proves little:
the table says how often the nearest neighbours agree (*k-NN*), how often naming the largest class would
be right (*chance*), what permuted labels give (*95 % by chance*), and what the **same network with random weights**
gives: anything that random weights do equally well is not evidence of learning."""
# The browser renders the table, so that programs get plain numbers.
_TABLE = """${value.length ? `<table><thead><tr><th>Separated</th><th>Network</th><th>k-NN</th><th>Chance</th>
<th>95 % by chance</th><th>p</th><th>Silhouette</th><th>Linear probe</th></tr></thead><tbody>${
value.map((row, i) => {
  const text = string => new Option(string).innerHTML, percent = share => (100 * share).toFixed(1) + ' %';
  const first = !i || value[i - 1].where !== row.where;
  return `<tr><th>${first ? text(`${row.where} by ${row.by}`) : ''}</th><td>${text(row.network)}</td>
<td><b>${percent(row.knn)}</b></td><td>${percent(row.chance)}</td><td>${percent(row.low)} to ${percent(row.high)}</td>
<td>${row.p_value.toPrecision(1)}</td><td>${row.silhouette.toFixed(3)}</td>
<td>${row.probe === null ? '–' : percent(row.probe)}</td></tr>`;
}).join('')}</tbody></table>` : ''}"""


def build() -> TabSettings:
    """Add the tab to the page."""
    first = first_question()
    with tab("anchors") as opened:
        studied = gr.State(None)
        bar = start_bar(
            "anchors",
            "Run t-SNE",
            "Choose a network and press Run t-SNE: images are shrunk, and their anchor prompts compared.",
        )
        news = bar.news
        with gr.Column(scale=2, min_width=320):
            images = archive(
                label="ZIP file with a folder of images per category (leave empty to use the samples)", height=170
            )
            with gr.Group():
                model = model_choice(_offered, value=first["model"], label="Network", elem_id="anchors-model")
                way = gr.Radio(_WAYS, value=first["way"], label="Represent each image by")
                block = gr.Slider(
                    1, first["block"], first["block"], step=1, label="Which block", elem_id="anchors-block"
                )
                with gr.Row():
                    per_category, perplexity, seed = (
                        gr.Number(
                            first[name], precision=precision, label=label, min_width=120, elem_id=f"anchors-{element}"
                        )
                        for name, element, label, precision in (
                            ("per_category", "images", "Images per category", 0),
                            ("perplexity", "perplexity", "Perplexity", None),
                            ("seed", "seed", "Seed", 0),
                        )
                    )
        with (
            gr.Column(scale=5, min_width=320),
            gr.Column(elem_id="anchors-results"),
            gr.Tabs(elem_classes="subtabs"),
        ):
            with gr.Tab("Dots", elem_id="anchors-sub-dots"), gr.Row(equal_height=False):
                with gr.Column(scale=3, min_width=300):
                    plane = choice(choices=[("All groups", ALL)], value=ALL, label="Show", elem_id="anchors-plane")
                    plot = gr.HTML(js_on_load=ON_LOAD, apply_default_css=False, elem_id="anchors-plot")
                    point = gr.Number(None, precision=0, visible="hidden", elem_id="anchors-point")
                with gr.Column(scale=2, min_width=240):
                    facts = gr.HTML(_CLICK, elem_id="anchors-facts")
                    shown = gallery("The image and its neighbours", "anchors-shown", allow_preview=False)
            with gr.Tab("Numbers", elem_id="anchors-sub-numbers"):
                findings = gr.Markdown(elem_id="anchors-findings")
                table = table_of(_TABLE, "anchors-table")
            with gr.Tab("Figure and files", elem_id="anchors-sub-files"):
                figure = picture("Figure", show_label=False, elem_id="anchors-figure")
                files = gr.Files(label="Arrays, table, figure and numbers", interactive=False, elem_id="anchors-files")
            with gr.Tab("How to read it", elem_id="anchors-sub-help"):
                gr.Markdown(_HELP, elem_id="anchors-help")

    asked = {"zip": images, "model": model, "way": way, "count": per_category, "block": block}
    asked |= {"perplexity": perplexity, "seed": seed}
    settings = TabSettings("anchors", asked, bar, offers={"block": lambda values: _last_block(values["model"])})
    outputs = [studied, table, findings, figure, files, news]
    runs = settings.start(study, outputs, api_name="anchors")
    welcomed = _first_result.show(opened, [news, settings.question], outputs)
    on_choice(model, toast(_last_block), model, block)
    drawing = toast(draw), [plane, studied], plot
    forgetting = _forget, None, [point, facts, shown]
    for each in (*runs, welcomed):
        planes = each.success(toast(_planes), studied, plane, **PRIVATE)
        planes.success(*drawing, **PRIVATE).then(*forgetting, **PRIVATE)
    on_choice(plane, *drawing, api_name="anchors_plane", api_visibility="public").success(*forgetting, **PRIVATE)
    plot.click(toast(_point), None, point, **CLICK).then(
        toast(look), [point, plane, studied], [facts, shown], api_name="anchors_point", **LIGHT
    )
    return settings


def first_question() -> dict[str, Any]:
    """Return the arguments of `study`, but for the images, that the tab opens with; they are the samples."""
    offered = _offered()
    model = models.favourite() if models.favourite() in offered else next(iter(offered), None)
    block = models.network(model).config.blocks_per_group if model else 1
    return {"model": model, "way": "mean", "per_category": 30, "block": block, "perplexity": 30, "seed": 0}


def made_of(question: dict[str, Any]) -> dict[str, Any]:
    """Return what the study of a question is made by and of, as plain values; the weights by their hash."""
    return {"command": "make anchors", **question, "weights": fingerprint(models.network(question["model"]))}


def warm() -> None:
    """Make the result that the tab opens with, if one comes with the page."""
    with suppress(gr.Error):
        _first_result()


def _shipped() -> tuple[Any, ...]:
    question = first_question()
    found = shipped(made_of(question)) if question["model"] else None
    if found is None:  # of other weights or settings: it is made on demand, which takes a minute
        raise nothing()
    write_crops(found.root, question["per_category"])
    return _answer(found)


_first_result = FirstResult(_shipped)


def _offered() -> list[str]:
    return [name for name in models.networks() if models.known()[name].has_weights]


@on_device
def study(
    images: Text | None,
    model: Text | None,
    way: Text,
    per_category: Whole,
    block: Whole,
    perplexity: Real,
    seed: Whole,
) -> Iterator[tuple[Any, ...]]:
    """Compare the anchor prompts of many images: which residual group are they of, which category is the image?

    Args:
        images: path of the ZIP file that was sent, with a folder for each category; none: crops of the samples.
        model: name of a PromptSR network with weights.
        way: how an image becomes points: "mean", "flattened" or "anchors".
        per_category: images of a category at most.
        block: block of each residual group, from 1.
        perplexity: of t-SNE.
        seed: of every draw.

    Yields:
        What the page shows next: the session's study, the rows of the table, the findings (Markdown), the figure, the
        files, the status.

    Raises:
        UserError: any of these is impossible.
    """
    most = in_force().images_per_category
    if not 2 <= per_category <= most:
        raise UserError(f"Take 2 to {most} images per category, not {per_category}.")
    if seed < 0:
        raise UserError("The seed must be 0 or more.")
    if not model:
        raise UserError("Choose a PromptSR network with weights.")
    network = models.load(model)
    models.network(model)  # refuses other kinds
    folder = new_folder()
    root = folder / "images"
    yield *[gr.skip()] * 5, status.running("Unpacking")
    if images:
        unpack(Path(images), root)
    else:
        write_crops(root, per_category)
    found = find_image_set(root, per_category, seed)
    check_settings(found, way=way, perplexity=perplexity, k=_K)
    tell = partial(_tell, status.Job({"": 1}))
    collected = yield from status.announced(
        collect_variants(network, found, folder / "collected", block=block, seed=seed), tell
    )
    done = yield from status.announced(
        analyse(collected, way=way, perplexity=perplexity, k=_K, permutations=_PERMUTATIONS, seed=seed, limit=_POINTS),
        tell,
    )
    yield *[gr.skip()] * 5, status.running("Drawing")
    write_study(done, folder)
    yield _answer(Studied(folder, root))


def _answer(studied: Studied) -> tuple[Any, ...]:
    """Return what `study` yields at last."""
    numbers = studied.numbers
    findings = "\n".join(f"- {sentence}" for sentence in numbers["findings"])
    facts = {"Images": str(numbers["images"]), "Network": numbers["model"]}
    if numbers["skipped"]:
        facts["Left out"] = ", ".join(numbers["skipped"])
    figure = next(file for file in studied.files if file.endswith(".png"))
    return studied, studied.rows, findings, figure, studied.files, status.done(facts)


def draw(plane: Whole, studied: Studied | None) -> str:
    """Draw the points of a plane as HTML: 0 for all residual groups, or the number of one.

    Raises:
        UserError: nothing has been studied yet, or no such plane.
    """
    return scatter(*_there(studied).points(plane))


def look(point: Whole | None, plane: Whole, studied: Studied | None) -> tuple[str, list[tuple[str, str]]]:
    """Show the image behind a point, and those behind its nearest neighbours.

    Args:
        point: its number in the plane, from 0.
        plane: 0 for all residual groups, or the number of one.
        studied: the session's study.

    Raises:
        UserError: nothing has been studied yet, or no such plane or point.
    """
    there = _there(studied)
    if point is None:
        raise UserError("Click on a point of the picture first.")
    facts, pictures = there.look(plane, point)
    return status.definitions(facts), [(str(path), caption) for path, caption in pictures]


def _there(studied: Studied | None) -> Studied:
    if studied is None:
        raise UserError("Nothing has been studied yet: choose a network and press Run t-SNE.")
    return studied


def _planes(studied: Studied) -> gr.Dropdown:
    groups = [(f"Group {group}, by category", group) for group in range(1, studied.groups + 1)]
    return gr.Dropdown(choices=[("All groups", ALL), *groups], value=ALL)


def _last_block(model: Text) -> gr.Slider:
    blocks = models.network(model).config.blocks_per_group
    return gr.Slider(maximum=blocks, value=blocks)


def _forget() -> tuple[None, str, list[Any]]:
    """Empty the choice: in another picture the numbers stand for other points."""
    return None, _CLICK, []


def _point(event: gr.EventData) -> int:
    return event_value(event, "point", int)


def _tell(collecting: status.Job, step: Collecting | Stage) -> tuple[Any, ...]:
    progress = Progress(step.done, step.total)
    if isinstance(step, Collecting):
        return *[gr.skip()] * 5, collecting.running("", step.name, progress, "images")
    return *[gr.skip()] * 5, status.running(step.name, progress, "steps")
