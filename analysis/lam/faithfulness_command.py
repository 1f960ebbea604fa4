"""`python -m analysis lam-check`: are the maps true? Deletion, insertion and sanity over a folder of images."""

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from promptsr.cli.console import HrFolder, JsonOption, LrOption, ModelsOption, check_targets, show


def lam_check(
    folder: HrFolder,
    model: ModelsOption,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="Folder for check.md, check.csv, curves.csv and check.png; a stopped run is resumed from it.",
        ),
    ],
    lr: LrOption = None,
    per_image: Annotated[int, typer.Option(help="Textured windows of an image at most.")] = 2,
    window: Annotated[int, typer.Option(help="Side of a window, output pixels.")] = 16,
    patch: Annotated[int, typer.Option(help="Side of what the models see around a window, input pixels.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the draw of windows, of random orders and of the bootstrap.")] = 0,
    json_target: JsonOption = None,
) -> None:
    """Check local attribution maps: do the pixels that they call important change the window when they are blurred?

    Several ranks share the images under torchrun.
    """
    check_path, curves_path, figure_path = out / "check.csv", out / "curves.csv", out / "check.png"
    text_path, log_folder = out / "check.md", out / "finished"
    check_targets((check_path, curves_path, figure_path, text_path, log_folder / "x.pt"), json_target)
    from analysis.common.figure_style import publish
    from analysis.common.study_command import run_study
    from analysis.common.tables import write_table
    from analysis.lam.faithfulness import mean_changes
    from analysis.lam.faithfulness_figure import draw_faithfulness
    from analysis.lam.faithfulness_study import MEASURES, study
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.support.files import write_text
    from promptsr.support.markdown_tables import markdown
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models = load_models(model)
    images = search_pairs(folder, lr, common_scale(models))
    options = {"per_image": per_image, "window": window, "patch": patch, "seed": seed}
    found = run_study(images, log_folder, partial(study, models), **options)
    if found is None:
        return
    write_table(found.regions, check_path)
    write_table(mean_changes(found.curves), curves_path)
    publish(draw_faithfulness(found.curves, found.models), figure_path)
    wide = found.means.set_index(["measure", "model"])
    rows = [
        {
            "measure": measure,
            **{name: _cell(*wide.loc[(measure, name), ["value", "low", "high"]]) for name in found.models},
        }
        for measure in MEASURES
    ]
    table = Table("measure", *found.models)
    for row in rows:
        table.add_row(*row.values())
    table.caption = (
        "part / order: change of the window by the first 1.6 % of the map as a multiple of another order's; part - "
        "order: area between their curves. Mean over images, 95 % interval."
    )
    write_text(text_path, f"{markdown(rows)}\n{table.caption}\n")
    show(found.to_dict(), table, json_target)
    faulty = {name: reason for name, reason in found.skipped.items() if name not in found.flat}
    check_none_left_out(faulty, len(images.pairs) + len(images.left_out))


def _cell(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return "none"
    return f"{value:.2f}" + (f" ({low:.2f} to {high:.2f})" if math.isfinite(low) else "")
