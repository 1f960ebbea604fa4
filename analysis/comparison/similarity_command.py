"""`python -m analysis similarity`: how alike the features of layers and networks are, by linear CKA."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table

from promptsr.cli.console import HrFolder, JsonOption, LrOption, ModelsOption, check_targets, show
from promptsr.support.files import write_json

if TYPE_CHECKING:
    from analysis.comparison.similarity import SimilarityStudy

_FILES = ("similarity.png", "similarity.pdf", "similarity.csv", "similarity.json")


def similarity(
    folder: HrFolder,
    model: ModelsOption,
    out: Annotated[
        Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}; a stopped run is resumed from it.")
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="Path of a module, or a pattern such as groups.*.blocks.*.convolution. Repeatable.",
            show_default="the outermost modules that return features of the input's size",
        ),
    ] = None,
    untrained: Annotated[bool, typer.Option("--untrained", help="Each PromptSR with fresh weights as well.")] = False,
    points: Annotated[int, typer.Option(help="Random pixels of an image.")] = 2048,
    patch: Annotated[
        int, typer.Option(help="Side of the middle of each image that is used at most, input pixels.")
    ] = 128,
    lr: LrOption = None,
    json_target: JsonOption = None,
) -> None:
    """Compare the features of all layers of one network or several: 1 for equal ones up to a turn and a factor.

    Several ranks share the images under torchrun.
    """
    check_targets((out / name for name in (*_FILES, "finished/x.pt")), json_target)
    from analysis.ablations import networks
    from analysis.common.figure_style import publish
    from analysis.common.study_command import run_study
    from analysis.common.tables import write_table
    from analysis.comparison.similarity import similarity_study
    from analysis.comparison.similarity_figure import draw_similarity
    from promptsr.cli.left_out import check_none_left_out
    from promptsr.data.pairs import search_pairs
    from promptsr.model.network import PromptSR
    from promptsr.zoo.load import load_models
    from promptsr.zoo.sr_model import common_scale

    models = load_models(model)
    if untrained:
        models += [networks.untrained(each) for each in models if isinstance(each.network, PromptSR)]
    images = search_pairs(folder, lr, common_scale(models))
    settings = {"layers": layer or (), "points": points, "patch": patch}
    study = run_study(images, out / "finished", partial(similarity_study, models), **settings)
    if study is None:
        return
    publish(draw_similarity(study), out / "similarity.png", out / "similarity.pdf")
    write_table(study.table, out / "similarity.csv")
    result = study.to_dict()
    write_json(out / "similarity.json", result)
    show(result, _table(study), json_target)
    check_none_left_out(study.skipped, len(images.pairs) + len(images.left_out))


def _table(study: "SimilarityStudy") -> Table:
    models = list(dict.fromkeys(model for model, _ in study.layers))
    table = Table(
        "model", "layer", Column("CKA to the next", justify="right"), *(f"closest in {name}" for name in models)
    )
    for index, (model, layer) in enumerate(study.layers):
        following = index + 1 < len(study.layers) and study.layers[index + 1][0] == model
        after = _number(float(study.mean[index, index + 1])) if following else ""
        others = [("", math.nan) if name == model else study.closest(index, name) for name in models]
        table.add_row(model, layer, after, *(f"{name} {_number(cka)}" if cka > 0 else "" for name, cka in others))
    return table


def _number(cka: float) -> str:
    return "" if math.isnan(cka) else f"{cka:.2f}"
