"""`python -m analysis lam-study`: how far models look on average, over many regions of a folder of images."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from promptsr.cli.console import HrFolder, JsonOption, LrOption, ModelsOption, check_targets, show

if TYPE_CHECKING:
    from analysis.lam.study import LamStudy


def lam_study(
    folder: HrFolder,
    model: ModelsOption,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for study.md, study.csv, di.png; a stopped run is resumed from it."),
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
    table_path, figure_path = out / "study.csv", out / "di.png"
    text_path, log_folder = out / "study.md", out / "finished"
    check_targets((table_path, figure_path, text_path, log_folder / "x.pt"), json_target)
    from analysis.common.figure_style import publish
    from analysis.common.study_command import run_study
    from analysis.common.tables import write_table
    from analysis.lam.attribution import LARGEST_GAP, PathSettings
    from analysis.lam.study import study
    from analysis.lam.study_figure import draw_di
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.support.files import write_text
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
    write_text(text_path, _report(found))
    table = Table("model", "mean DI", "95 % interval")
    for mean in found.means.itertuples():
        table.add_row(mean.model, f"{mean.di:.2f}", _interval(mean.low, mean.high, ".2f"))
    for pair in found.differences.itertuples():
        names = f"{pair.model} - {pair.against}"
        table.add_row(names, f"{pair.difference:+.2f}", _interval(pair.low, pair.high, "+.2f"))
    table.caption = "\n".join(
        f"{name}: {inexact} of {found.windows} maps have a completeness gap above {100 * LARGEST_GAP:g} %: take --rule "
        "adaptive --steps 128."
        for name, inexact in found.inexact.items()
        if inexact
    )
    show(found.to_dict(), table, json_target)
    faulty = {name: reason for name, reason in found.skipped.items() if name not in found.flat}
    check_none_left_out(faulty, len(images.pairs) + len(images.left_out))


def _report(found: "LamStudy") -> str:
    """Return a table in Markdown of all models, with the first against each of the others."""
    from analysis.lam.attribution import LARGEST_GAP
    from promptsr.support.markdown_tables import markdown

    first = found.models[0]
    against = {
        pair.against: f"{pair.difference:+.2f} ({_interval(pair.low, pair.high, '+.2f')})"
        for pair in found.differences.itertuples()
        if pair.model == first
    }
    rows = [
        {
            "model": mean.model,
            "mean DI": f"{mean.di:.2f} ({_interval(mean.low, mean.high, '.2f')})",
            f"{first} minus it": against.get(mean.model, ""),
            f"gap above {100 * LARGEST_GAP:g} %": f"{found.inexact[mean.model]} of {found.windows}",
        }
        for mean in found.means.itertuples()
    ]
    return (
        f"{markdown(rows)}\nDiffusion index (DI) of {found.windows} windows of {found.window} x {found.window} output "
        f"pixels of {len(found.di)} images, in inputs of {found.patch} x {found.patch} pixels; up to "
        f"{found.settings.steps} steps by the rule {found.settings.rule!r}. Mean over the images, 95 % interval by "
        "bootstrap over them; number of maps with a larger completeness gap.\n"
    )


def _interval(low: float, high: float, digits: str) -> str:
    return f"{low:{digits}} to {high:{digits}}" if math.isfinite(low) else "unknown: a single image"
