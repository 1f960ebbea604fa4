"""`python -m analysis lam-study`: how far models look on average, over many regions of a folder of images."""

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from promptsr.cli.console import HrFolder, JsonOption, LrOption, ModelsOption, check_targets, show


def lam_study(
    folder: HrFolder,
    model: ModelsOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for study.csv and di.png; a stopped run is resumed from it.")
    ],
    lr: LrOption = None,
    per_image: Annotated[int, typer.Option(help="Textured windows of an image at most.")] = 4,
    window: Annotated[int, typer.Option(help="Side of a window, output pixels.")] = 16,
    patch: Annotated[
        int, typer.Option(help="Side of what the models see around a window, input pixels; the DI depends on it.")
    ] = 64,
    steps: Annotated[int, typer.Option(help="From the blurred image to the sharp one.")] = 10,
    rule: Annotated[
        str, typer.Option(help="Of integration: trapezoid, adaptive (up to --steps) or right (as published, with 50).")
    ] = "trapezoid",
    seed: Annotated[int, typer.Option(help="Of the draw of windows and of the bootstrap.")] = 0,
    json_target: JsonOption = None,
) -> None:
    """Compare the mean diffusion index (DI) of local attribution maps, with 95 % intervals over the images.

    Several ranks share the images under torchrun.
    """
    table_path, figure_path, log_folder = out / "study.csv", out / "di.png", out / "finished"
    check_targets((table_path, figure_path, log_folder / "x.pt"), json_target)
    from analysis.common.figure_style import publish
    from analysis.common.study_command import run_study
    from analysis.common.tables import write_table
    from analysis.lam.attribution import LARGEST_GAP, PathSettings
    from analysis.lam.study import study
    from analysis.lam.study_figure import draw_di
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models, settings = load_models(model), PathSettings(steps, rule=rule)
    images = search_pairs(folder, lr, common_scale(models))
    options = {"per_image": per_image, "window": window, "patch": patch, "settings": settings, "seed": seed}
    found = run_study(images, log_folder, partial(study, models), **options)
    if found is None:
        return
    write_table(found.regions, table_path)
    publish(draw_di(found), figure_path)
    table = Table("model", "mean DI", "95 % interval")
    for mean in found.means.itertuples():
        table.add_row(mean.model, f"{mean.di:.2f}", _interval(mean.low, mean.high, ".2f"))
    for pair in found.differences.itertuples():
        names = f"{pair.model} - {pair.against}"
        table.add_row(names, f"{pair.difference:+.2f}", _interval(pair.low, pair.high, "+.2f"))
    count = len(found.regions) // len(found.models)
    table.caption = "\n".join(
        f"{name}: {inexact} of {count} maps have a completeness gap above {100 * LARGEST_GAP:g} %: take --rule "
        "adaptive --steps 128."
        for name, inexact in found.inexact.items()
        if inexact
    )
    show(found.to_dict(), table, json_target)
    faulty = {name: reason for name, reason in found.skipped.items() if name not in found.flat}
    check_none_left_out(faulty, len(images.pairs) + len(images.left_out))


def _interval(low: float, high: float, digits: str) -> str:
    return f"{low:{digits}} to {high:{digits}}" if math.isfinite(low) else "unknown: a single image"
