"""Costs of the paper's networks: Table III and Tables IV to VII beside our own counts, and Fig. 1b.

Every printed figure stands beside two counts of ours (see `promptsr.complexity.counting`): by the convention of the
counter thop, which leaves out attention products and position tables, and the true one.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from analysis.complexity.paper_networks import BUILDABLE, build_method
from promptsr.complexity.counting import Complexity, count
from promptsr.config import preset
from promptsr.data.pairs import PairPaths
from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.evaluate import ImageScore
from promptsr.evaluation.measure import measure
from promptsr.paper.tables import published, published_value
from promptsr.support.errors import UserError
from promptsr.support.progress import map_progress
from promptsr.zoo.load import list_models
from promptsr.zoo.sr_model import SRModel

_HEIGHT, _WIDTH = 180, 320
"""LR input that Table III counts: 1280 x 720 at x4."""
LARGEST = 2e6
"""Parameters beyond which Fig. 1b leaves a network out."""
_SETTINGS: dict[tuple[str, str], str] = {
    ("IV", "windows only"): "ablation-windows-only",
    ("IV", "anchor"): "ablation-anchor",
    ("IV", "anchor+coarse"): "ablation-anchor-coarse",
    ("IV", "anchor+coarse+fine"): "ablation-base",
    ("V", "d=2"): "ablation-d2",
    ("V", "d=4"): "ablation-d4",
    ("V", "d=8"): "ablation-base",
    ("VI", "alpha=0"): "ablation-alpha-0",
    ("VI", "alpha=0.1"): "ablation-alpha-0.1",
    ("VI", "alpha=0.01"): "ablation-base",
    ("VII", "ws=8"): "ablation-ws8",
    ("VII", "ws=16"): "ablation-base",
}
Agreement = Literal["both", "thop", "true", "neither"]
_REMARKS = {
    "SwinIR-light": "49.6G is copied from SwinIR's own paper, which does not say how it was counted",
    "SwinIR": "where 584G comes from is not said",
}


@dataclass(frozen=True)
class Row:
    """A row of a table of the paper beside our counts of the same network."""

    table: str
    method: str
    """As printed, or the setting of an ablation."""
    printed_parameters: float | None
    printed_multiply_adds: float | None
    """For an input of 3 x 180 x 320, as all counts here. None: not printed."""
    printed_urban100: float | None
    printed_manga109: float | None
    """PSNR-Y, dB."""
    explanation: str
    """Which of our counts agrees with what is printed and what that leaves out, or how far off they are."""
    published_parameters: int | None = None
    """Counted by thop's convention. None, here and below: the network cannot be built here."""
    parameters: int | None = None
    """All of them."""
    published_multiply_adds: int | None = None
    multiply_adds: int | None = None
    """Linear layers, convolutions and attention products."""
    parameters_agree: Agreement | None = None
    multiply_adds_agree: Agreement | None = None
    """Which of our counts is the printed figure, to its last digit. None: nothing to compare."""
    hidden_work: float | None = None
    """True multiply-adds over those printed (counted by thop's convention where none are)."""


@dataclass(frozen=True)
class Point:
    """A network in Fig. 1b."""

    model: str
    parameters: float
    psnr_y: float
    """dB"""
    origin: str
    """`published` (by the paper), `ablation` (Tables IV to VII: trained half as long) or `measured` here."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Images that could not be measured, and why."""


def table_three(
    models: Sequence[SRModel] = (), methods: Sequence[str] | None = None
) -> Generator[str, None, list[Row]]:
    """Count Table III, row by row, then the given models; yield the name of each network before it is counted.

    Args:
        models: of any scale; all are counted for the same 1280 x 720 output.
        methods: rows of the table; all by default.

    Raises:
        UserError: a model cannot be counted.
    """
    own = []
    for model in models:  # first, for they may be refused
        yield model.name
        cost = count(model.network, *(math.ceil(4 * side / model.scale) for side in (_HEIGHT, _WIDTH)))
        own.append(_row("", model.name, cost))
    rows = []
    for method in published("III")["method"].unique() if methods is None else methods:
        yield method
        network = build_method(method)
        rows.append(_row("III", method, None if network is None else count(network, _HEIGHT, _WIDTH)))
    return [*rows, *own]


def ablations(tables: Sequence[str] = ("IV", "V", "VI", "VII")) -> list[Row]:
    """Count every setting of Tables IV to VII, or of some of them, beside its printed cost."""
    chosen = {place: name for place, name in _SETTINGS.items() if place[0] in tables}
    return [_row(table, setting, _cost_of_preset(name)) for (table, setting), name in chosen.items()]


@cache
def _cost_of_preset(name: str) -> Complexity:
    return count(preset(name), _HEIGHT, _WIDTH)


def accuracy_against_size(dataset: str = "Urban100", scale: int = 4) -> list[Point]:
    """Return the published points of Fig. 1b, and those of the bundled models on this set, by parameters.

    Fig. 1b itself is only a picture: the points come from what is clear in Tables I and III, and for PromptSR with
    fewer blocks from the ablations. Where a network's parameters are unclear in print, ours are counted.

    Args:
        dataset: of `promptsr.paper.tables.DATASETS`.
        scale: 2, 3 or 4.
    """
    rows = published(scale=scale)
    scores = rows[(rows["dataset"] == dataset) & (rows["metric"] == "psnr_y") & rows["table"].isin(["I", "III"])]
    points = []
    for method in scores["method"].unique():
        psnr = _printed(method, "psnr_y", dataset, scale)
        size = _printed(method, "parameters", "", scale)
        if size is None and (network := build_method(method, scale)) is not None:
            size = sum(parameter.numel() for parameter in network.parameters())
        if size is not None and psnr is not None:
            points.append(Point(method, size, psnr, "published"))
    if scale == 4 and (psnr := published_value("V", "d=8", "psnr_y", dataset)) is not None:
        points.append(Point("PromptSR, N=2", published_value("V", "d=8", "parameters") or math.nan, psnr, "ablation"))
    for model in list_models():
        if model.scale == scale and dataset in model.scores and model.parameters:
            points.append(Point(model.name, model.parameters, model.scores[dataset]["psnr_y"], "measured"))
    return sorted((point for point in points if point.parameters <= LARGEST), key=lambda point: point.parameters)


def _printed(method: str, metric: str, dataset: str, scale: int) -> float | None:
    """Return the value printed in Table III, else in Table I."""
    value = published_value("III", method, metric, dataset, scale)
    return published_value("I", method, metric, dataset, scale) if value is None else value


def measured_point(model: SRModel, pairs: list[PairPaths]) -> Generator[ImageScore, None, Point]:
    """Measure a model on a folder (see `promptsr.data.pairs.find_pairs`); yield the score of each image.

    Raises:
        UserError: no image can be measured, or the model has no parameters to place it by.
    """
    if not model.parameters:
        raise UserError(f"{model.name} has no parameters to place it by in the figure: choose another model.")
    rows = yield from map_progress(measure([model], [BenchmarkSet("images", pairs)]), lambda step: step.image)
    [found] = rows[0].sets.values()
    left_out = {image.name: image.reason for image in found.left_out}
    return Point(model.name, model.parameters, found.psnr_y, "measured", left_out)


def _row(table: str, method: str, cost: Complexity | None) -> Row:
    parameters, multiply_adds = (published_value(table, method, metric) for metric in ("parameters", "multiply_adds"))
    urban, manga = (published_value(table, method, "psnr_y", dataset) for dataset in ("Urban100", "Manga109"))
    printed = (parameters, multiply_adds, urban, manga)
    if cost is None:
        why = "spandrel is not installed" if method in BUILDABLE else "its architecture is not here"
        return Row(table, method, *printed, f"Printed only: {why}.")
    size = agreement(parameters, cost.published_parameters, cost.parameters)
    work = agreement(multiply_adds, cost.published_multiply_adds, cost.multiply_adds)
    hidden = cost.multiply_adds / (multiply_adds or cost.published_multiply_adds or math.nan)
    explanations = []
    if size:
        explanations.append(_explain_size(size, cost))
    if work and multiply_adds:
        explanations.append(_explain_work(work, method, cost, multiply_adds, hidden))
    sizes, products = (cost.published_parameters, cost.parameters), (cost.published_multiply_adds, cost.multiply_adds)
    return Row(table, method, *printed, " ".join(explanations), *sizes, *products, size, work, hidden)


def agreement(printed: float | None, by_thop: int, true: int) -> Agreement | None:
    """Compare with three printed digits, some rounded and some cut off: a count agrees within one of the last digit.

    None if nothing is printed.
    """
    if printed is None:
        return None
    unit = 10 ** (math.floor(math.log10(printed)) - 2)
    fits = abs(by_thop - printed) < unit, abs(true - printed) < unit
    agreements: dict[tuple[bool, bool], Agreement] = {
        (True, True): "both",
        (True, False): "thop",
        (False, True): "true",
        (False, False): "neither",
    }
    return agreements[fits]


def _explain_size(agreement: Agreement, cost: Complexity) -> str:
    left_out = f"{cost.parameters - cost.published_parameters:,}"
    sentences = {
        "both": "Parameters agree.",
        "thop": f"Parameters agree as thop counts; it has no rule for {left_out}, such as position tables.",
        "true": f"All parameters are printed, also the {left_out} that thop has no rule for.",
        "neither": f"Parameters agree with neither {cost.published_parameters:,} (thop) nor {cost.parameters:,} (all).",
    }
    return sentences[agreement]


def _explain_work(agreement: Agreement, method: str, cost: Complexity, printed: float, hidden: float) -> str:
    off = [f"{value / printed - 1:+.0%}" for value in (cost.published_multiply_adds, cost.multiply_adds)]
    remark = f"; {_REMARKS[method]}" if method in _REMARKS else ""
    sentences = {
        "both": "Multi-Adds agree.",
        "thop": f"Multi-Adds agree as thop counts; in truth they are {cost.multiply_adds / 1e9:.1f}G ({hidden:.2f} x).",
        "true": "Multi-Adds agree with all products, also those of attention.",
        "neither": f"Multi-Adds agree with no count of ours: {off[0]} as thop counts, {off[1]} in truth{remark}.",
    }
    return sentences[agreement]
