"""`python -m analysis stability`: how far a change of the input by 1e-6 travels, and what flips of categories add."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, follow, log, show
from promptsr.support.files import write_json

if TYPE_CHECKING:
    from analysis.attention.stability import StabilityStudy

_FILES = ("stability.png", "stability.pdf", "stability.csv", "stability_steps.csv", "stability.json")


def stability(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A PromptSR: a name from `promptsr models`, or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}.")],
    step: Annotated[float, typer.Option(help="Every value of the input moves by this, up or down at random.")] = 1e-6,
    draws: Annotated[int, typer.Option(help="Random directions of the step.")] = 3,
    patch: Annotated[int, typer.Option(help="Side of the middle of the image that is used, input pixels.")] = 128,
    hr: Annotated[bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Follow a tiny change of the input through a PromptSR and an untrained one, with categories free and held."""
    check_targets((out / name for name in _FILES), json_target)
    from analysis.ablations.networks import untrained
    from analysis.attention.stability import stability as follow_step
    from analysis.attention.stability_figure import draw_stability
    from analysis.common.figure_style import publish
    from analysis.common.image_windows import middle
    from analysis.common.tables import write_table
    from promptsr.data import load_input
    from promptsr.zoo.load import load_model

    loaded = load_model(model)
    lr = middle(load_input(image, loaded.scale, hr), patch)
    work = follow_step([loaded, untrained(loaded)], lr, step=step, draws=draws)
    study = follow(work, "passes", lambda moving: (moving.done, moving.total, moving.model))
    publish(draw_stability(study, image.name), out / "stability.png", out / "stability.pdf")
    write_table(study.layers, out / "stability.csv")
    write_table(study.steps, out / "stability_steps.csv")
    result = {"image": image.name, "hr": hr, **study.to_dict()}
    write_json(out / "stability.json", result)
    show(result, _table(study), json_target)
    free, held = (study.result(study.models[0], name) for name in ("free", "held"))
    log.print(
        f"A step of {step:g} changes {100 * free['share']:.1f} % of the 8-bit values of the result, by up to "
        f"{free['levels']} levels; with the categories held {100 * held['share']:.2f} %, by up to {held['levels']}.",
        soft_wrap=True,
    )


def _table(study: "StabilityStudy") -> Table:
    names = ("change", "held", "flips")
    columns = (Column(name, justify="right") for name in (*names, *(f"untrained, {name}" for name in names)))
    table = Table("layer", *columns, title=study.models[0])
    parts = [study.layers[study.layers["model"] == name].itertuples() for name in study.models]
    for rows in zip(*parts, strict=True):
        table.add_row(rows[0].layer, *(cell for row in rows for cell in _cells(row)))
    table.caption = (
        "change of the features over their size, with free and with held categories; share of the pixels whose coarse "
        "and fine category flips"
    )
    return table


def _cells(row: Any) -> tuple[str, str, str]:
    flips = "" if math.isnan(row.coarse_flips) else f"{100 * row.coarse_flips:.2f}, {100 * row.fine_flips:.2f} %"
    return f"{row.change:.1e}", f"{row.change_held:.1e}", flips
