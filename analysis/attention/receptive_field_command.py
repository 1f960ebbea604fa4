"""`python -m analysis receptive-field`: how far models look, at their output or over depth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from promptsr.cli.console import JsonOption, check_targets, progress_bar, show
from promptsr.data import load_pair
from promptsr.imaging.decode import decode
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.support.files import replacing, write_json
from promptsr.zoo.load import load_models
from promptsr.zoo.sr_model import common_scale

if TYPE_CHECKING:
    from analysis.attention.receptive_field import ReceptiveField

_FILES = tuple(f"receptive_field.{suffix}" for suffix in ("png", "csv", "npz", "json"))


def receptive_field(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint. Repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}.")],
    depth: Annotated[bool, typer.Option("--depth", help="Every block of each PromptSR as well.")] = False,
    hr: Annotated[bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Measure the effective receptive field of the middle pixel: where the gradients of its values reach."""
    check_targets((out / name for name in _FILES), json_target)
    from analysis.attention.receptive_field import (
        check_model,
        extents_table,
        receptive_field,
        receptive_fields_over_depth,
    )
    from analysis.attention.receptive_field_figure import draw_receptive_fields
    from analysis.common.figure_style import publish

    models = load_models(model)
    if depth and not any(isinstance(each.network, PromptSR) for each in models):
        raise UserError("--depth looks into the blocks of a PromptSR: add one, such as --model promptsr-tiny-x4.")
    lr = load_pair(image, common_scale(models))[1] if hr else decode(image).to_tensor()
    for each in models:
        check_model(each, *lr.shape[2:])
    fields: list[ReceptiveField] = []
    with progress_bar() as bar:
        task = bar.add_task("models", total=len(models), note="")
        for each in models:
            bar.update(task, note=escape(each.name))
            if depth and isinstance(each.network, PromptSR):
                fields += receptive_fields_over_depth(each, [lr])
            else:
                fields.append(receptive_field(each, [lr]))
            bar.advance(task)
    publish(draw_receptive_fields(fields), out / "receptive_field.png")
    table = extents_table(fields)
    with replacing(out / "receptive_field.csv") as temporary:
        table.to_csv(temporary, index=False)
    with replacing(out / "receptive_field.npz") as temporary:
        np.savez_compressed(
            temporary,
            maps=np.stack([field.map for field in fields]),  # fields x H x W
            model=np.array([field.model for field in fields]),
            layer=np.array([field.layer for field in fields]),
        )
    height, width = lr.shape[2:]
    result = {"width": width, "height": height, "hr": hr, "fields": [field.to_dict() for field in fields]}
    write_json(out / "receptive_field.json", result)
    shown = Table("model", "layer", *(f"{100 * extent.share:.0f} %" for extent in fields[0].extents))
    for field in fields:
        areas = (f"{extent.side} px, {100 * extent.area:.3g} %" for extent in field.extents)
        shown.add_row(escape(field.model), field.layer, *areas)
    show(result, shown, json_target)
