"""`python -m analysis complexity`: Tables II and III of the paper and its Fig. 1b, printed and measured."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, LrOption, check_targets, progress_bar, show
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish

if TYPE_CHECKING:
    from analysis.complexity.scaling import Scaling
    from analysis.complexity.study import Row


def complexity(
    models: Annotated[
        list[str] | None, typer.Option("--model", "-m", help="Count this one too: a name or a checkpoint. Repeatable.")
    ] = None,
    hr: Annotated[
        Path | None, typer.Option(help="Folder of HR images: measure the models on it for the figure.")
    ] = None,
    lr: LrOption = None,
    dataset: Annotated[
        str, typer.Option("--set", help="The benchmark of the figure, which --hr holds: Set5, Set14, BSD100, ...")
    ] = "Urban100",
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for complexity.csv, table_two.csv and the figures.")
    ] = None,
    json_target: JsonOption = None,
) -> None:
    """Compare what networks cost with what the paper prints, and how attention scales with Table II."""
    import pandas as pd

    from analysis.common.figure_style import publish
    from analysis.common.tables import write_table
    from analysis.complexity.figure import draw_accuracy, draw_scaling
    from analysis.complexity.scaling import LAYERS, measure_scaling
    from analysis.complexity.study import ablations, accuracy_against_size, measured_point, table_three
    from promptsr.cli.left_out import LeftOutLog, check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.evaluation.evaluate import smallest_side
    from promptsr.paper.tables import DATASETS, published
    from promptsr.zoo.load import load_model
    from promptsr.zoo.sr_model import common_scale

    if dataset not in DATASETS:
        raise ConfigError(f"The paper has no scores on {dataset}: choose one of {', '.join(DATASETS)} with --set.")
    if lr is not None and hr is None:
        raise ConfigError("--lr goes with --hr: give the folder of HR images too.")
    if hr is not None and not models:
        raise ConfigError("--hr is there to measure models on: name them with --model.")
    check_targets([out / "complexity.csv"] if out else [], json_target)
    loaded = [load_model(name) for name in models or []]
    scale = common_scale(loaded) if loaded else 4
    found = None if hr is None else search_pairs(hr, lr, scale, smallest=smallest_side(scale))
    pairs = found.pairs if found else []
    lost = {path.name: reason for path, reason in found.left_out} if found else {}
    if lost and not pairs:
        raise UserError(f"No image could be measured: {next(iter(lost.values()))}")
    left_out = LeftOutLog()
    left_out.name(lost)
    points = accuracy_against_size(dataset, scale)
    if pairs:
        points = [point for point in points if point.model not in {model.name for model in loaded}]
    with progress_bar() as bar:
        steps = published("III")["method"].nunique() + len(loaded) + len(LAYERS) + len(pairs) * len(loaded)
        work = bar.add_task("complexity", total=steps, note="")

        def tell(name: str) -> None:
            bar.update(work, advance=1, note=name)

        for model in loaded if pairs else []:
            points.append(finish(measured_point(model, pairs), lambda score: tell(score.name)))
        rows = finish(table_three(loaded), tell)
        settings = ablations()
        scaling = finish(measure_scaling(), tell)
    result: dict[str, Any] = {
        "table_three": [asdict(row) for row in rows],
        "ablations": [asdict(row) for row in settings],
        "scaling": [asdict(exponent) for exponent in scaling.exponents],
        "finding": scaling.finding,
        "accuracy": [asdict(point) for point in points],
    }
    if out is not None:
        written = {"complexity.csv": result["table_three"] + result["ablations"], "table_two.csv": result["scaling"]}
        for file, lines in written.items():
            write_table(pd.DataFrame(lines), out / file)
        publish(draw_accuracy(points, dataset, scale), out / "fig_1b.png")
        publish(draw_scaling(scaling), out / "scaling.png")
    tables = Table.grid(padding=(0, 0, 1, 0))
    for table in (_cost_table([*rows, *settings]), _exponent_table(scaling)):
        tables.add_row(table)
    show(result, tables, json_target)
    total = len(pairs) + len(lost)
    lost |= {image: reason for point in points for image, reason in point.left_out.items()}
    left_out.name(lost)
    check_none_left_out(lost, total)


def _cost_table(rows: "Sequence[Row]") -> Table:
    figures = ("params,\nprinted", "by thop", "all", "MACs,\nprinted", "by thop", "true", "true /\nprinted")
    names = (*figures, "Urban100,\nprinted")
    table = Table("", "network", *(Column(name, justify="right") for name in names), box=SIMPLE)
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before.table != row.table:
            table.add_section()
        sizes = row.printed_parameters, row.published_parameters, row.parameters
        work = row.printed_multiply_adds, row.published_multiply_adds, row.multiply_adds
        cells = [None if size is None else f"{size / 1e3:,.0f}K" for size in sizes]
        cells += [None if products is None else f"{products / 1e9:,.1f}G" for products in work]
        cells += [None if value is None else f"{value:.2f}" for value in (row.hidden_work, row.printed_urban100)]
        table.add_row(row.table, row.method, *cells)
    remarks = [f"{row.method}: {row.explanation}" for row in rows if row.table in ("", "III") and row.explanation]
    table.caption = "\n".join(["MACs: multiply-adds for 1280 x 720 output.", *remarks])
    table.caption_justify = "left"
    return table


def _exponent_table(scaling: "Scaling") -> Table:
    table = Table("layer", "cost", *(Column(name, justify="right") for name in ("exponent of HW", "Table II")))
    table.box = SIMPLE
    for exponent in scaling.exponents:
        error = f" ± {exponent.error:.2f}" if exponent.quantity == "seconds" else ""
        expected = "" if exponent.expected is None else f"{exponent.expected:.0f}"
        table.add_row(exponent.layer, exponent.quantity, f"{exponent.exponent:.2f}{error}", expected)
    table.caption = scaling.finding
    table.caption_justify = "left"
    return table
