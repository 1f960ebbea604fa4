"""`python -m analysis lam-study`: how far models look on average, over many regions of a folder of images."""

import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from promptsr.cli.console import JsonOption, check_targets, complain, follow, show
from promptsr.evaluation.evaluate import find_pairs
from promptsr.support.files import replacing
from promptsr.zoo.load import load_models


def lam_study(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of HR images.")],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint. Repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for study.csv and di.png.")],
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR images of the same names. Default: bicubic, made from the HR.")
    ] = None,
    per_image: Annotated[int, typer.Option(help="Textured windows of an image at most.")] = 4,
    window: Annotated[int, typer.Option(help="Side of a window, output pixels.")] = 16,
    patch: Annotated[
        int, typer.Option(help="Side of what the models see around a window, input pixels; the DI depends on it.")
    ] = 64,
    steps: Annotated[int, typer.Option(help="From the blurred image to the sharp one.")] = 10,
    rule: Annotated[
        str, typer.Option(help="Of integration: trapezoid, or right (as published), which needs 50 steps.")
    ] = "trapezoid",
    seed: Annotated[int, typer.Option(help="Of the draw of windows and of the bootstrap.")] = 0,
    json_target: JsonOption = None,
) -> None:
    """Compare the mean diffusion index (DI) of local attribution maps, with 95 % intervals over the images."""
    table_path, figure_path = out / "study.csv", out / "di.png"
    check_targets((table_path, figure_path), json_target)
    from analysis.common.figure_style import publish
    from analysis.lam.attribution import PathSettings
    from analysis.lam.study import study
    from analysis.lam.study_figure import draw_di

    pairs, models, settings = find_pairs(folder, lr), load_models(model), PathSettings(steps, rule=rule)
    work = study(models, pairs, per_image=per_image, window=window, patch=patch, settings=settings, seed=seed)
    found = follow(work, "images", lambda step: (step.done, len(pairs), f"{step.image} {step.model}"))
    for name, reason in found.skipped.items():
        complain(f"{name} was left out: {reason}")
    with replacing(table_path) as temporary:
        found.regions.to_csv(temporary, index=False)
    publish(draw_di(found), figure_path)
    table = Table("model", "mean DI", "95 % interval")
    for mean in found.means.itertuples():
        table.add_row(escape(mean.model), f"{mean.di:.2f}", _interval(mean.low, mean.high, ".2f"))
    for pair in found.differences.itertuples():
        names = escape(f"{pair.model} - {pair.against}")
        table.add_row(names, f"{pair.difference:+.2f}", _interval(pair.low, pair.high, "+.2f"))
    show(found.to_dict(), table, json_target)


def _interval(low: float, high: float, digits: str) -> str:
    return f"{low:{digits}} to {high:{digits}}" if math.isfinite(low) else "unknown: a single image"
