"""`python -m analysis failures`: where in a folder of images a model loses most to others."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from promptsr.cli.console import JsonOption, check_targets, complain, follow, log, show
from promptsr.support.errors import ConfigError
from promptsr.zoo.load import load_model, load_models


def failures(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of HR images.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="The model to examine: a name from `promptsr models`, or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for report.html, cases.csv and texture.csv.")],
    against: Annotated[
        list[str] | None, typer.Option("--against", "-a", help="A model to lose to. Repeatable. Default: bicubic.")
    ] = None,
    scale: Annotated[int | None, typer.Option(help="Checked against the models'.")] = None,
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR images of the same names. Default: bicubic, made from the HR.")
    ] = None,
    window: Annotated[int, typer.Option(help="Side of a window, HR pixels.")] = 64,
    stride: Annotated[
        int | None, typer.Option(help="HR pixels between windows.", show_default="a quarter of the window")
    ] = None,
    count: Annotated[int, typer.Option(help="Cases at most.")] = 12,
    per_image: Annotated[int | None, typer.Option(help="Cases of one image at most.", show_default="no limit")] = None,
    json_target: JsonOption = None,
) -> None:
    """Find the windows where a model loses most to others, by blur or by artefacts; write a report."""
    from analysis.failures.report import REPORT, write_report
    from analysis.failures.search import Searching, find_failures
    from analysis.failures.study import LEAST_LOSS
    from promptsr.evaluation.evaluate import find_pairs

    check_targets([out / REPORT], json_target)
    pairs = find_pairs(folder, lr)
    opponents = against or [f"bicubic-x{load_model(model).scale}"]
    first, *others = load_models([model, *opponents])
    if scale is not None and scale != first.scale:
        raise ConfigError(f"{model} upscales x{first.scale}, not x{scale}: choose a model for x{scale}.")
    work = find_failures(first, others, pairs, window=window, stride=stride, count=count, per_image=per_image)

    def describe(step: Searching) -> tuple[int, int, str]:
        return step.done, step.total, f"{step.image} {step.comparing.model if step.comparing else ''}"

    study = follow(work, "images", describe)
    for name, reason in study.skipped.items():
        complain(f"{name} was left out: {reason}")
    if not study.cases:
        log.print(f"{study.model} loses no window by more than {LEAST_LOSS} dB.", markup=False, soft_wrap=True)
    report = write_report(study, out, shlex.join(["python", "-m", "analysis", *sys.argv[1:]]))
    log.print(f"Report: {report}", markup=False, highlight=False, soft_wrap=True)
    table = Table("image", "x", "y", "kind", "loss (dB)", "against")
    for case in study.cases:
        cells = (case.image, str(case.x), str(case.y), case.kind, f"{case.loss_db:.2f}", case.against)
        table.add_row(*map(escape, cells))
    show(study.to_dict(), table, json_target)
