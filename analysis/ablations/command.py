"""`python -m analysis ablate`: Tables IV and VI of the paper, trained anew at a size of your own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, RecipeSettings, check_targets, follow, show
from promptsr.support.errors import ConfigError
from promptsr.support.files import write_text

if TYPE_CHECKING:
    from analysis.ablations.study import AblationStep


def ablate(
    recipe: Annotated[Path, typer.Argument(metavar="CONFIG", help="Such as configs/ablations/small.yaml.")],
    bench: Annotated[Path, typer.Option(help="Folder of benchmark sets to measure on.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for the runs, ablations.csv and ablations.md; resumed from.")
    ],
    settings: RecipeSettings = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="A set in that folder. Repeatable.", show_default="all of them")
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--row", help="windows-only, anchor, ...; the whole network always. Repeatable.", show_default="all"
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of every row.")] = 2,
    json_target: JsonOption = None,
) -> None:
    """Train the rows of Tables IV and VI with equal steps, data and seeds, and set them beside the paper's."""
    import pandas as pd

    from analysis.ablations.study import chosen_rows, table, train_ablations
    from analysis.common.tables import write_table
    from promptsr.cli.left_out import LeftOutLog, check_none_left_out
    from promptsr.data.cache import ImagesRead
    from promptsr.evaluation.benchmark_sets import find_sets
    from promptsr.evaluation.evaluate import decibels
    from promptsr.evaluation.measure import Measuring
    from promptsr.support.markdown_tables import markdown
    from promptsr.training import load_recipe

    chosen = chosen_rows(rows or [])
    loaded = load_recipe(recipe, settings or [])
    check_targets([out / "ablations.csv"], json_target)
    found = find_sets(bench, sets or [], loaded.model.scale)
    if any(each.name in ("table", "row", "parameters") for each in found):
        raise ConfigError("A set cannot be called table, row or parameters: rename its folder.")
    left_out = LeftOutLog()
    left_out.name({f"{each.name}: {image.name}": image.reason for each in found for image in each.left_out})

    def describe(step: "AblationStep") -> tuple[float, int, str]:
        at, share = step.step, 0.0
        if isinstance(at, ImagesRead):
            note = "reading images"
        elif isinstance(at, Measuring):
            note = f"{at.image.name} {decibels(at.image.psnr_y)} dB"
        else:
            note, share = f"step {at.step} of {at.steps}, loss {at.loss:.4f}", at.step / at.steps
        return step.done + share, step.total, f"{step.run}: {note}"

    ablations = follow(train_ablations(loaded, found, out, range(seeds), chosen), "ablations", describe)
    lines = table(ablations)
    scored = (
        {"table": a.row.table, "row": a.row.method, "seed": seed, "set": name, "psnr_y": score}
        for a in ablations for name, scores in a.scores.items() for seed, score in enumerate(scores)
    )  # fmt: skip
    write_table(pd.DataFrame(scored), out / "ablations.csv")
    write_text(out / "ablations.md", markdown(lines))
    show({"seeds": seeds, "rows": lines}, _shown(lines, [each.name for each in found], seeds), json_target)
    lost = {image: reason for each in ablations for image, reason in each.left_out.items()}
    left_out.name(lost)
    check_none_left_out(lost, sum(len(each.pairs) + len(each.left_out) for each in found))


def _shown(lines: "list[dict[str, str]]", sets: "list[str]", seeds: int) -> Table:
    from analysis.ablations.study import PAPERS_SETS

    columns = (*sets, *(f"paper, {name}" for name in PAPERS_SETS))
    heads = (Column(name.replace(", ", ",\n"), justify="right", no_wrap=True) for name in ("parameters", *columns))
    shown = Table("row", *heads, box=SIMPLE, padding=(0, 1, 0, 0))
    for line in lines:
        cells = (f"{line[name]}\n{line[f'{name}, difference']}" for name in columns)
        shown.add_row(line["row"], line["parameters"], *cells)
    shown.caption = (
        f"PSNR-Y in dB, mean ± standard deviation over {seeds} seeds; below it, the difference to the whole network "
        "with the same seeds. The paper's networks are larger and were trained for 250K steps."
    )
    return shown
