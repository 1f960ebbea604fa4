"""`python -m analysis receptive-field`: how far models look, on one image or on average over a folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from promptsr.cli.console import JsonOption, ModelsOption, check_targets, progress_bar, show
from promptsr.support.errors import UserError
from promptsr.support.files import finite, replacing, write_json

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.attention.receptive_field import ReceptiveField
    from promptsr.zoo.sr_model import SRModel

_FILES = tuple(f"receptive_field.{suffix}" for suffix in ("png", "csv", "npz", "json"))


def receptive_field(
    image: Annotated[
        Path,
        typer.Argument(
            metavar="IMAGE|DIR", help="The input, or a folder of inputs; with --hr the images they are shrunk from."
        ),
    ],
    model: ModelsOption,
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}.")],
    depth: Annotated[bool, typer.Option("--depth", help="Every block of each PromptSR as well.")] = False,
    patch: Annotated[
        int, typer.Option(help="With a folder: side of the middle of each image that is used, input pixels.")
    ] = 64,
    hr: Annotated[bool, typer.Option("--hr", help="The images are HR images: shrink them first.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Measure the effective receptive field of the middle pixel: where the gradients of its values reach.

    Several ranks share the images of a folder under torchrun.
    """
    check_targets((out / name for name in _FILES), json_target)
    import numpy as np

    from analysis.attention.receptive_field import extents_table
    from analysis.attention.receptive_field_figure import draw_receptive_fields
    from analysis.attention.receptive_field_study import receptive_field_study
    from analysis.common.figure_style import publish
    from analysis.common.study_command import run_study
    from analysis.common.tables import write_table
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data import load_input
    from promptsr.data.pairs import search_pairs
    from promptsr.model.network import PromptSR
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models = load_models(model)
    if depth and not any(isinstance(each.network, PromptSR) for each in models):
        raise UserError("--depth looks into the blocks of a PromptSR: add one, such as --model promptsr-x4.")
    scale = common_scale(models)
    skipped: dict[str, str] = {}
    if image.is_dir():
        images, start = search_pairs(image, None, scale), partial(receptive_field_study, models)
        options = {"patch": patch, "depth": depth, "hr": hr}
        study = run_study(images, out / "finished", start, **options)
        if study is None:
            return
        fields, table, skipped = study.fields, study.table, study.skipped
    else:
        fields = _of_one(models, load_input(image, scale, hr), depth)
        table = extents_table(fields)
    publish(draw_receptive_fields(fields), out / "receptive_field.png")
    write_table(table, out / "receptive_field.csv")
    with replacing(out / "receptive_field.npz") as temporary:
        np.savez_compressed(
            temporary,
            maps=[field.map for field in fields],  # fields x H x W
            model=[field.model for field in fields],
            layer=[field.layer for field in fields],
        )
    height, width = fields[0].map.shape
    result = {"width": width, "height": height, "hr": hr, "fields": [field.to_dict() for field in fields]}
    if image.is_dir():
        result |= {"skipped": skipped, "extents": finite(table.to_dict("records"))}
    write_json(out / "receptive_field.json", result)
    shown = Table("model", "layer", *(f"{100 * extent.share:.0f} %" for extent in fields[0].extents))
    for field in fields:
        areas = (f"{extent.side} px, {100 * extent.area:.3g} %" for extent in field.extents)
        shown.add_row(field.model, field.layer, *areas)
    shown.caption = f"mean of {fields[0].images} images" if image.is_dir() else None
    show(result, shown, json_target)
    check_none_left_out(skipped, len(skipped) + fields[0].images)


def _of_one(models: "Sequence[SRModel]", image: "Tensor", depth: bool) -> "tuple[ReceptiveField, ...]":
    """Measure the fields of all models on one image, under a bar."""
    from analysis.attention.receptive_field import check_model, receptive_field, receptive_fields_over_depth
    from promptsr.model.network import PromptSR

    for each in models:
        check_model(each, *image.shape[2:])
    fields: list[ReceptiveField] = []
    with progress_bar() as bar:
        task = bar.add_task("models", total=len(models), note="")
        for each in models:
            bar.update(task, note=each.name)
            if depth and isinstance(each.network, PromptSR):
                fields += receptive_fields_over_depth(each, [image])
            else:
                fields.append(receptive_field(each, [image]))
            bar.advance(task)
    return tuple(fields)
