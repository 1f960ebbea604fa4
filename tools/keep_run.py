"""Keep what a training needs to go on elsewhere, without its optimisers' state: weights, step, command and scores.

    python tools/keep_run.py runs/mine    # to trained/mine.safetensors, -raw.safetensors and .md, replacing them

The run goes on from there by init=trained/mine-raw.safetensors and another seed (a new run, which counts from 0 and
whose momenta start from nothing; the same seed would draw the same crops again), and a release branches off from the
averaged weights. `--after 1505` keeps such a run: its steps are counted on, and its page is mine-after-1505.md.
"""

import csv
from pathlib import Path
from typing import Annotated

import torch
import typer

from promptsr.cli.console import run
from promptsr.config import ModelConfig
from promptsr.support.errors import UserError
from promptsr.support.files import write_text
from promptsr.support.markdown_tables import markdown
from promptsr.training.recipe import provenance
from promptsr.training.state import LAST, load_state
from promptsr.zoo.checkpoints import save_checkpoint

_ROOT = Path(__file__).resolve().parents[1]


def keep_run(
    folder: Annotated[Path, typer.Argument(help="Of the run.")],
    to: Annotated[Path, typer.Option(help="Folder for the weights.")] = _ROOT / "trained",
    after: Annotated[int, typer.Option(min=0, help="Steps of the weights that it began with.")] = 0,
) -> None:
    """Write weights and a page about them."""
    state = load_state(folder / LAST)
    recipe = dict(state["recipe"])
    config = ModelConfig.from_dict(recipe["model"])
    settings = provenance(recipe)
    info = {"train": settings, "step": after + state["step"]}
    for name, weights in (("", state["average"]), ("-raw", state["network"])):
        save_checkpoint(to / f"{folder.name}{name}.safetensors", config, weights, info)
    name = f"{folder.name}-after-{after}" if after else folder.name
    write_text(to / f"{name}.md", page(folder, settings, state["step"], after))


def page(folder: Path, recipe: dict[str, object], step: int, after: int) -> str:
    """Describe a run of so many steps that began after others, with the validations of its log.

    Raises:
        UserError: there is no log.
    """
    try:
        rows = list(csv.DictReader((folder / "log.csv").read_text(encoding="utf-8").splitlines()))
    except OSError as error:
        raise UserError(f"{folder} has no log.csv: name the folder of a run.") from error
    scored = [row for row in rows if row["psnr_y"]]
    origins = ("init", "data") + (("teacher", "teacher_share") if recipe["teacher"] else ())
    sizes, rates = ("steps", "patch", "batch"), ("optimizer", "lr", "matrix_lr", "warmup", "halve_at", "clip")
    settings = " ".join(f"{key}={recipe[key]}" for key in (*origins, *sizes, *rates, "ema", "loss", "seed"))
    table = markdown(
        [{"step": str(after + int(row["step"])), "PSNR-Y (dB)": f"{float(row['psnr_y']):.3f}"} for row in scored]
    )
    return (
        f"# {folder.name}, step {after + step}\n\n"
        f"`{settings}` (torch {torch.__version__.split('+')[0]})\n\nValidation, averaged weights, on the first "
        f"{recipe['validation_images']} images of the validation set:\n\n{table}"
    )


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(keep_run)

if __name__ == "__main__":
    run(app)
