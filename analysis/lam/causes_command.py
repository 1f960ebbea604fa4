"""`python -m analysis causes`: which squares of the input help a window and which hurt it, and parts of a PromptSR."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, ModelsOption, check_targets, follow, log, show
from promptsr.support.files import write_json

if TYPE_CHECKING:
    from analysis.lam.causes import Causes, Finding

_CAPTION = (
    "Of {squares} squares: how many change the window, or without how many its PSNR-Y falls (help) or rises (hurt), by "
    "more than the noise, the most that moving the input by 1e-4 does. best, worst, noise: dB. LAM: rank correlation "
    "over squares of the map with the change of the window."
)
_FILES = ("causes.png", "causes.csv", "interventions.csv", "causes.json")


def causes(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")],
    model: ModelsOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}; other networks have no interventions.")
    ],
    x: Annotated[
        int | None, typer.Option(help="Left end of the window, output pixels.", show_default="the middle")
    ] = None,
    y: Annotated[int | None, typer.Option(help="Top of the window, output pixels.", show_default="the middle")] = None,
    window: Annotated[int, typer.Option(help="Side of the window, output pixels.")] = 16,
    around: Annotated[
        int, typer.Option(help="Side of the patch around the window that the models see, input pixels.")
    ] = 64,
    square: Annotated[int, typer.Option(help="Side of the squares that are replaced, input pixels.")] = 8,
    hr: Annotated[
        bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first. Without it effects have no sign.")
    ] = False,
    other: Annotated[
        Path | None, typer.Option(help="An image like IMAGE, whose anchor prompts are put into PromptSR too.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of shuffled categories and of untrained weights.")] = 0,
    json_target: JsonOption = None,
) -> None:
    """Find what helps and what hurts a window: squares of the input are replaced, and parts of a PromptSR."""
    check_targets((out / name for name in _FILES), json_target)
    from analysis.common.figure_style import publish
    from analysis.common.image_windows import Region, middle
    from analysis.common.tables import write_table
    from analysis.lam.causes import CONTROL, find_causes
    from analysis.lam.causes_figure import draw_causes
    from promptsr.data import load_input, load_pair
    from promptsr.imaging.decode import decode
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models = load_models(model)
    scale = common_scale(models)
    full, lr = load_pair(image, scale) if hr else (None, decode(image).to_tensor())
    height, width = (scale * side for side in lr.shape[2:])
    region = Region((width - window) // 2 if x is None else x, (height - window) // 2 if y is None else y, window)
    another = None
    if other is not None:
        rows, columns = (min(around, side) for side in lr.shape[2:])
        another = middle(load_input(other, scale, hr), around)[..., :rows, :columns]
    work = find_causes(models, lr, region, hr=full, side=around, square=square, other=another, seed=seed)
    found = follow(work, "passes", _describe)
    publish(draw_causes(found, image.name), out / "causes.png")
    write_table(found.squares, out / "causes.csv")
    write_table(found.interventions, out / "interventions.csv")
    result = {"image": image.name, **found.to_dict()}
    write_json(out / "causes.json", result)
    show(result, _table(found), json_target)
    for row in found.interventions.itertuples():
        lost = f"±{row.psnr_lost:.3f}" if row.intervention == CONTROL else _number(row.psnr_lost, "+.3f")
        text = f"{row.model}, {row.intervention}: the window changes by {row.change:.2f} grey levels"
        log.print(f"{text}, PSNR-Y lost: {lost} dB." if hr else f"{text}.", soft_wrap=True)


def _describe(step: "Finding") -> tuple[float, float, str]:
    done, total = (step.progress.done, step.progress.total) if step.progress else (0, 1)
    return done, total, f"{step.model}, {step.part}"


def _table(found: "Causes") -> Table:
    signed = {"help": "helping", "hurt": "hurting", "best": "largest_help", "worst": "largest_harm", "noise": "noise"}
    columns = signed if found.explanation.patch.hr is not None else {"change": "changing"}
    table = Table("model", "square", *(Column(name, justify="right") for name in (*columns, "LAM")))
    for row in found.rows:
        cells = (_number(row[name], ".2g" if name == "noise" else "+.2f") for name in (*columns.values(), "agreement"))
        table.add_row(row["model"], row["way"], *cells)
    table.caption = _CAPTION.format(squares=found.rows[0]["squares"])
    return table


def _number(value: float, form: str) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value:{form}}" if math.isfinite(value) else "none"
