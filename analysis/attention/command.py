"""The commands `attention` and `categories` of `python -m analysis`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, log, progress_bar, show
from promptsr.support.files import write_json
from promptsr.support.progress import finish

if TYPE_CHECKING:
    from analysis.attention.superpixels import SuperpixelStudy

_ATTENTION_FILES = ("attention.png", "attention.svg", "attention.npz", "attention.json")
_DEPTH_FILES = ("depth.csv", "depth.png")
_CATEGORY_FILES = (
    *(f"categories.{suffix}" for suffix in ("png", "svg", "csv", "npz", "json")),
    "agreement.png",
    "patches.png",
)

_Image = Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")]
_Model = Annotated[
    str, typer.Option("--model", "-m", help="A PromptSR: a name from `promptsr models`, or a checkpoint.")
]
_Shrink = Annotated[bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first.")]


def attention(
    image: _Image,
    model: _Model,
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_ATTENTION_FILES)}.")],
    x: Annotated[int | None, typer.Option(help="Column of the pixel, input pixels.", show_default="the middle")] = None,
    y: Annotated[int | None, typer.Option(help="Row of the pixel, input pixels.", show_default="the middle")] = None,
    group: Annotated[int | None, typer.Option(help="Residual group, from 1.", show_default="the last")] = None,
    block: Annotated[int | None, typer.Option(help="Block in the group, from 1.", show_default="the last")] = None,
    depth: Annotated[
        bool,
        typer.Option("--depth", help=f"Numbers of every block too: {' and '.join(_DEPTH_FILES)}; takes minutes."),
    ] = False,
    pixels: Annotated[int, typer.Option(help="With --depth: pixels that stand for all of the image.")] = 16,
    hr: _Shrink = False,
    json_target: JsonOption = None,
) -> None:
    """Show where one pixel of the input looks: anchors, what they read, windows, its category groups."""
    check_targets((out / name for name in _ATTENTION_FILES + _DEPTH_FILES * depth), json_target)
    from analysis.ablations.networks import promptsr_of
    from analysis.attention.depth import Descending, over_depth
    from analysis.attention.figure import draw_attention, draw_depth
    from analysis.attention.pixel import attention_of
    from analysis.common.figure_style import publish
    from analysis.common.tables import write_table
    from promptsr.data import load_input
    from promptsr.zoo.load import load_model

    loaded = load_model(model)
    network = promptsr_of(loaded)
    lr = load_input(image, loaded.scale, hr)
    height, width = lr.shape[2:]
    seen = attention_of(
        network,
        lr,
        group=(network.config.groups if group is None else group) - 1,
        block=(network.config.blocks_per_group if block is None else block) - 1,
        x=width // 2 if x is None else x,
        y=height // 2 if y is None else y,
    )
    result = {"model": loaded.name, "image": image.name, "hr": hr, **seen.numbers()}
    study = None
    if depth:
        with progress_bar() as bar:
            task = bar.add_task("blocks", total=None, note="")

            def tell(step: Descending) -> None:
                note = f"group {step.group + 1}, block {step.block + 1}"
                bar.update(task, completed=step.done, total=step.total, note=note)

            study = finish(over_depth(network, lr, pixels=pixels, jacobian=True), tell)
            bar.update(task, completed=len(study.table), note="")
        finite = study.table.astype(object).where(study.table.notna(), None)
        result["depth"] = finite.to_dict("records")
    publish(draw_attention(seen, image.name), out / "attention.png", out / "attention.svg")
    seen.save(out / "attention.npz")
    if study is not None:
        write_table(study.table, out / "depth.csv")
        publish(draw_depth(study.table), out / "depth.png")
    write_json(out / "attention.json", result)
    show(result, _attention_table(result), json_target)


def _attention_table(result: dict[str, Any]) -> Table:
    names = ("effective", "90 % area", "distance (px)", "90 % radius (px)", "on padding")
    table = Table(Column("map", no_wrap=True), *(Column(name, justify="right") for name in names))
    for name, found in result["reach"].items():
        padding = f"{100 * result['padding_share'][name]:.1f} %"
        for head, numbers in enumerate(found if isinstance(found, list) else [found], start=1):
            label = f"{name} {head}" if isinstance(found, list) else name
            digits = {"effective": 0, "area": 0, "distance": 1, "radius": 1}
            cells = ("" if numbers is None else f"{numbers[key]:.{n}f}" for key, n in digits.items())
            table.add_row(label, *cells, padding)
    rank = result["spearman"]
    about = f"pixel ({result['x']}, {result['y']}), group {result['group']}, block {result['block']}"
    table.caption = about + ("" if rank is None else f"; Spearman of composed and jacobian: {rank:.3f}")
    return table


def categories(
    image: _Image,
    model: _Model,
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_CATEGORY_FILES)}.")],
    segments: Annotated[
        int | None, typer.Option(help="SLIC superpixels to aim at.", show_default="as many as anchors")
    ] = None,
    hr: _Shrink = False,
    json_target: JsonOption = None,
) -> None:
    """Draw the category maps of every block, and compare them with superpixels, untrained networks and chance."""
    check_targets((out / name for name in _CATEGORY_FILES), json_target)
    from analysis.ablations.networks import promptsr_of
    from analysis.attention.category_figure import draw_agreement, draw_categories, draw_mean_patches
    from analysis.attention.superpixels import superpixel_study
    from analysis.common.figure_style import publish
    from analysis.common.tables import write_table
    from promptsr.data import load_input
    from promptsr.imaging.picture import to_array
    from promptsr.zoo.load import load_model

    loaded = load_model(model)
    network = promptsr_of(loaded)
    lr = load_input(image, loaded.scale, hr)
    study = superpixel_study(network, lr, segments)
    photo = to_array(lr)
    publish(draw_categories(study.maps, photo), out / "categories.png", out / "categories.svg")
    publish(draw_agreement(study), out / "agreement.png")
    publish(draw_mean_patches(study.maps, photo), out / "patches.png")
    write_table(study.table, out / "categories.csv")
    study.save(out / "categories.npz")
    result = {"model": loaded.name, "image": image.name, "hr": hr, **study.to_dict()}
    write_json(out / "categories.json", result)
    show(result, _category_table(study), json_target)
    log.print(study.finding, highlight=False, soft_wrap=True)


def _category_table(study: "SuperpixelStudy") -> Table:
    table = Table("block", "kind", "used", "largest", "effective", "border", "ARI SLIC", "untrained")
    for row in study.table.itertuples():
        largest, border = (f"{100 * value:.1f} %" for value in (row.largest, row.border))
        agreements = (f"{value:.3f}" for value in (row.ari_slic, row.ari_slic_untrained))
        used, effective = str(row.used), f"{row.effective:.1f}"
        table.add_row(f"{row.group}.{row.block}", row.kind, used, largest, effective, border, *agreements)
    return table
