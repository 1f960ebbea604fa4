"""Scores on benchmark sets (Tables I and III, Fig. 1b), and results side by side (Fig. 4 to 6)."""

from collections.abc import Generator, Iterable, Sequence
from typing import Any

from analysis.common.suggestions import suggest
from analysis.comparison.compare import compare
from analysis.comparison.figure import draw_comparison
from analysis.complexity.figure import draw_accuracy
from analysis.complexity.study import LARGEST, Point, accuracy_against_size
from analysis.paper.entry import Lines, Measurement, Numbers, Ruling, rule
from analysis.paper.materials import SCALE, Materials
from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.evaluate import decibels
from promptsr.evaluation.measure import measure
from promptsr.evaluation.score_log import ScoreLog
from promptsr.paper.tables import DATASETS, published_value
from promptsr.support.progress import map_progress

TOLERANCE = 0.05
"""dB; a smaller difference from print is none."""
_URBAN = "Urban100"
Steps = Generator[str, None, Measurement]


def scored(materials: Materials, sets: Iterable[BenchmarkSet]) -> Generator[str, None, list[dict[str, Any]]]:
    """Measure the model and its opponents on sets.

    Returns:
        Rows of model, method, set, psnr_y (dB) and ssim_y.
    """
    models = [materials.model, *materials.against]
    methods = {model.name: materials.method(model) for model in models}
    work = measure(models, list(sets), log=ScoreLog(materials.out / "scores"))
    found = yield from map_progress(work, lambda step: f"{step.model} {step.image.name}")
    return [
        {"model": row.model, "method": methods[row.model], "set": name, "psnr_y": each.psnr_y, "ssim_y": each.ssim_y}
        for row in found
        for name, each in row.sets.items()
        if each.images
    ]


def table_scores(materials: Materials, table: str, sets: Sequence[str] = DATASETS) -> Steps:
    """Measure on the sets of a table that are here, beside its printed scores at x4."""
    here = [found for name in sets if (found := materials.find_set(name))]
    rows = (yield from scored(materials, here)) if here else []
    for row in rows:
        row["printed"] = row["method"] and published_value(table, row["method"], "psnr_y", row["set"])
    numbers = {"scores": rows, "needs": materials.missing(sets), "own": materials.method(materials.model)}
    return Measurement(numbers, {"Scores at ×4, PSNR-Y (dB) / SSIM-Y": _lines(rows)} if rows else {})


def _lines(rows: Sequence[dict[str, Any]]) -> Lines:
    """Return the rows of a table of scores; with print, and the difference in dB, if any is printed."""
    lines = []
    for row in rows:
        line = {
            "model": row["model"],
            "set": row["set"],
            "measured": f"{decibels(row['psnr_y'])} / {row['ssim_y']:.4f}",
        }
        if any(each.get("printed") for each in rows):
            printed = row["printed"]
            line["printed"] = f"{printed:.2f}" if printed else "–"
            line["difference"] = f"{row['psnr_y'] - printed:+.2f}" if printed else "–"
        lines.append(line)
    return lines


def judge_own_scores(numbers: Numbers) -> Ruling:
    """Rule on the scores of PromptSR."""
    rows = [row for row in numbers["scores"] if row["method"] and row["method"] == numbers["own"]]
    return rule(_near(rows), _differences(rows, "the paper's network"), needs=numbers["needs"])


def judge_other_scores(numbers: Numbers) -> Ruling:
    """Rule on the scores of the methods compared with, on the sets that are here."""
    rows = [row for row in numbers["scores"] if row["method"] not in ("", numbers["own"]) and row["printed"]]
    needs = [] if rows else ["benchmark sets (--bench) and others' weights (--against)"]
    return rule(_near(rows), _differences(rows, "another method of the table"), needs=needs)


def _near(rows: Iterable[dict[str, Any]]) -> bool:
    return all(abs(row["psnr_y"] - row["printed"]) <= TOLERANCE for row in rows if row["printed"])


def _differences(rows: Sequence[dict[str, Any]], whose: str) -> str:
    found = [f"{row['method']} on {row['set']} {row['psnr_y'] - row['printed']:+.2f}" for row in rows if row["printed"]]
    if not found:
        return f"No score of {whose} was measured."
    return f"Measured minus printed, dB: {', '.join(found)}; {TOLERANCE} counts as none."


def accuracy(materials: Materials) -> Steps:
    """Draw Fig. 1b with what is printed, and with what is measured on Urban100 where it is here."""
    here = materials.find_set(_URBAN)
    rows = (yield from scored(materials, [here])) if here else []
    sizes = {model.name: float(model.parameters) for model in (materials.model, *materials.against)}
    points = [point for point in accuracy_against_size(_URBAN, SCALE) if point.origin != "measured"]
    measured = [
        Point(row["model"], sizes[row["model"]], row["psnr_y"], "measured")
        for row in rows
        if 0 < sizes[row["model"]] <= LARGEST
    ]
    numbers = {
        "accuracy_needs": materials.missing([_URBAN]),
        "own_psnr": next((row["psnr_y"] for row in rows), None),
        "own_parameters": materials.model.parameters,
        "rivals": [
            {"method": point.model, "parameters": point.parameters, "psnr_y": point.psnr_y}
            for point in points
            if not point.model.startswith("PromptSR")
        ],
    }
    figure = draw_accuracy([*points, *measured], _URBAN, SCALE)
    return Measurement(numbers, {}, {"Fig. 1b from the printed tables, with our measurements": figure})


def judge_accuracy(numbers: Numbers) -> Ruling:
    """Rule on the claim that no network of its size or smaller scores as high."""
    own, size = numbers["own_psnr"], numbers["own_parameters"]
    best = max((each for each in numbers["rivals"]), key=lambda each: each["psnr_y"])
    print_best = f"the best printed one of the others is {best['method']} with {best['psnr_y']:.2f} dB"
    if own is None:
        return rule(False, f"Not measured; {print_best}.", needs=numbers["accuracy_needs"])
    near = [each for each in numbers["rivals"] if each["parameters"] <= size]
    above = all(own > each["psnr_y"] for each in near)
    sentence = f"Ours has {own:.2f} dB with {size:,} parameters; {print_best}."
    return rule(above, sentence, needs=numbers["accuracy_needs"])


def side_by_side(materials: Materials, dataset: str, methods: Sequence[str], number: int) -> Steps:
    """Show the window where results differ most in an image, and measure on the set, or on the photographs.

    Args:
        materials: of the measurement.
        dataset: the set of the figure.
        methods: whose results the figure shows.
        number: of the image.
    """
    here = materials.find_set(dataset) or BenchmarkSet("photographs", materials.pairs(dataset))
    rows = yield from scored(materials, [here])
    name, hr, lr = materials.photograph(number, dataset)
    models = [materials.model, *materials.against]
    comparison = yield from map_progress(compare(models, lr, hr), lambda step: step.model)
    region = suggest("disagreement", lr, hr, [result.sr for result in comparison.results], materials.sizes.case)
    numbers = {"shown": rows, "needs": materials.missing([dataset], methods), "image": name}
    picture = {f"The window of {name} where results differ most": draw_comparison(comparison, region, name)}
    return Measurement(numbers, {"Scores at ×4, PSNR-Y (dB) / SSIM-Y": _lines(rows)}, picture)


def judge_best(numbers: Numbers) -> Ruling:
    """Rule on the claim that the model restores most, by the mean score of all images."""
    own, *others = numbers["shown"]
    found = ", ".join(f"{row['model']} {row['psnr_y']:.2f}" for row in numbers["shown"])
    above = all(own["psnr_y"] > row["psnr_y"] for row in others)
    return rule(above, f"Mean PSNR-Y on {own['set']}, dB: {found}.", needs=numbers["needs"])
