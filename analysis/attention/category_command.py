"""`python -m analysis categories`: into which categories every block of a PromptSR sorts the pixels of an image."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from promptsr.cli.console import JsonOption, check_targets, log, show
from promptsr.data import load_pair
from promptsr.imaging.decode import decode
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.support.files import replacing, write_json
from promptsr.zoo.load import load_model

if TYPE_CHECKING:
    from analysis.attention.superpixels import SuperpixelStudy

_FILES = (
    "categories.png",
    "categories.svg",
    "categories.csv",
    "categories.npz",
    "categories.json",
    "agreement.png",
    "patches.png",
)


def categories(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")],
    model: Annotated[str, typer.Option("--model", "-m", help="A PromptSR from `promptsr models`, or a checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}.")],
    segments: Annotated[
        int | None, typer.Option(help="SLIC superpixels to aim at.", show_default="as many as anchors")
    ] = None,
    hr: Annotated[bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Draw the category maps of every block, and compare them with superpixels, untrained networks and chance."""
    check_targets((out / name for name in _FILES), json_target)
    from analysis.attention.category_figure import draw_agreement, draw_categories, draw_mean_patches
    from analysis.attention.superpixels import superpixel_study
    from analysis.common.figure_style import publish
    from promptsr.imaging.picture import to_array

    found = load_model(model)
    if not isinstance(found.network, PromptSR):
        raise UserError(
            f"{model} is no PromptSR network, so it has no categories: choose one, such as promptsr-tiny-x4."
        )
    lr = load_pair(image, found.scale)[1] if hr else decode(image).to_tensor()
    study = superpixel_study(found.network, lr, segments)
    photo = to_array(lr)
    figure = draw_categories(study.maps, photo)
    publish(figure, out / "categories.png")
    publish(figure, out / "categories.svg")
    publish(draw_agreement(study), out / "agreement.png")
    publish(draw_mean_patches(study.maps, photo), out / "patches.png")
    with replacing(out / "categories.csv") as temporary:
        study.table.to_csv(temporary, index=False)
    study.save(out / "categories.npz")
    result = {"model": found.name, "image": image.name, "hr": hr, **study.to_dict()}
    write_json(out / "categories.json", result)
    show(result, _table(study), json_target)
    log.print(study.finding, highlight=False, soft_wrap=True)


def _table(study: "SuperpixelStudy") -> Table:
    table = Table("block", "kind", "used", "largest", "effective", "border", "ARI SLIC", "untrained")
    for row in study.table.itertuples():
        largest, border = (f"{100 * value:.1f} %" for value in (row.largest, row.border))
        agreements = (f"{value:.3f}" for value in (row.ari_slic, row.ari_slic_untrained))
        used, effective = str(row.used), f"{row.effective:.1f}"
        table.add_row(f"{row.group}.{row.block}", row.kind, used, largest, effective, border, *agreements)
    return table
