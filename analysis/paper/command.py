"""`python -m analysis paper`: the paper claim by claim, printed, measured and judged, as one page."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from promptsr.cli.console import JsonOption, check_targets, complain, follow, log, show
from promptsr.support.errors import UserError
from promptsr.zoo.default import BEST


def paper(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for paper.html and all measurements; resumed from it.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A PromptSR for x4: a name from `promptsr models`, or a checkpoint.")
    ] = BEST,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            "-a",
            help="A model of others. Repeatable. Default: the largest network of another architecture, or bicubic.",
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of HR photographs.", show_default="the bundled samples")
    ] = None,
    categories: Annotated[
        Path | None,
        typer.Option(help="Folder that holds a folder of images per category.", show_default="crops of the samples"),
    ] = None,
    bench: Annotated[
        Path | None, typer.Option(help="Folder of benchmark sets. Without, entries say which they need.")
    ] = None,
    ablations: Annotated[
        Path | None, typer.Option(help="What `python -m analysis ablate` wrote, for Tables IV and VI.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Tiny measurements in seconds, to try it out.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Go through the figures and tables of the paper: printed, measured here, and what follows."""
    from analysis.paper.claims import ENTRIES
    from analysis.paper.materials import prepare
    from analysis.paper.report import PAGE, count_verdicts, write_report
    from analysis.paper.study import KEPT, measure_paper

    check_targets([out / PAGE, out / KEPT / "x.json"], json_target)
    materials = prepare(
        out,
        model=model,
        against=against or [],
        photographs=images,
        categories=categories,
        bench=bench,
        ablations=ablations,
        quick=quick,
    )
    outcomes = follow(
        measure_paper(ENTRIES, materials), "paper", lambda step: (step.done, step.total, f"{step.title} {step.note}")
    )
    page = write_report(outcomes, materials, shlex.join(["python", "-m", "analysis", *sys.argv[1:]]))
    log.print(f"Page: {page}", soft_wrap=True)
    table = Table("", "claim", "verdict")
    for outcome in outcomes:
        if outcome.error:
            table.add_row(outcome.entry.title, "", outcome.error)
        for claim, ruling in zip(outcome.entry.claims, outcome.rulings, strict=False):
            table.add_row(outcome.entry.title, claim.text, ruling.label)
    counts = count_verdicts(outcomes)
    show({"counts": counts, "entries": [outcome.to_dict() for outcome in outcomes]}, table, json_target)
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        complain(f"{outcome.entry.title} was not measured: {outcome.error}")
    if failed:
        raise UserError(f"{len(failed)} of {len(outcomes)} entries were not measured; see above.")
