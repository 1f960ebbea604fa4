"""`python -m analysis failures`: where in a folder of images a model loses most to others."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from promptsr.cli.console import HrFolder, JsonOption, LrOption, check_targets, log, show
from promptsr.support.errors import ConfigError


def failures(
    folder: HrFolder,
    model: Annotated[
        str, typer.Option("--model", "-m", help="The model to examine: a name from `promptsr models`, or a checkpoint.")
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Folder for report.html and tables; a stopped run is resumed from it."),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            "-a",
            help="A model to lose to. Repeatable. Default: the largest network, one of another architecture first.",
        ),
    ] = None,
    scale: Annotated[int | None, typer.Option(help="Checked against the models'.")] = None,
    lr: LrOption = None,
    window: Annotated[int, typer.Option(help="Side of a window, HR pixels.")] = 64,
    stride: Annotated[
        int | None, typer.Option(help="HR pixels between windows.", show_default="a quarter of the window")
    ] = None,
    count: Annotated[int, typer.Option(help="Cases at most.")] = 12,
    per_image: Annotated[int | None, typer.Option(help="Cases of one image at most.", show_default="no limit")] = None,
    json_target: JsonOption = None,
) -> None:
    """Find the windows where a model loses most to others; several ranks share the images under torchrun."""
    from analysis.common.study_command import run_study
    from analysis.failures.report import FILES, write_report
    from analysis.failures.search import find_failures
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.zoo.listing import first_opponent, list_models
    from promptsr.zoo.load import load_model, load_models

    log_folder = out / "finished"
    check_targets([*(out / name for name in FILES), log_folder / "x.pt"], json_target)
    if not against:
        own = load_model(model)
        against = [first_opponent(list_models(), own.scale, {model, own.name}, own.architecture)]
    first, *others = load_models([model, *against])
    if scale is not None and scale != first.scale:
        raise ConfigError(f"{model} upscales x{first.scale}, not x{scale}: choose a model for x{scale}.")
    found = search_pairs(folder, lr, first.scale)

    settings = {"window": window, "stride": stride, "count": count, "per_image": per_image}
    study = run_study(found, log_folder, partial(find_failures, first, others), **settings)
    if study is None:
        return
    if not study.cases:
        log.print(study.good_news, soft_wrap=True)
    report = write_report(study, out, shlex.join(["python", "-m", "analysis", *sys.argv[1:]]))
    log.print(f"Report: {report}", soft_wrap=True)
    table = Table("image", "x", "y", "kind", "loss (dB)", "against")
    for case in study.cases:
        cells = (case.image, str(case.x), str(case.y), case.kind, f"{case.loss_db:.2f}", case.against)
        table.add_row(*cells)
    show(study.to_dict(), table, json_target)
    check_none_left_out(study.skipped, len(found.pairs) + len(found.left_out))
