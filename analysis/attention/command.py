"""`python -m analysis attention`: where one block of a network looks for one pixel, and how that changes over depth."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, progress_bar, show
from promptsr.data import load_pair
from promptsr.imaging.decode import decode
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.support.files import replacing, write_json
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model

if TYPE_CHECKING:
    from analysis.attention.depth import Descending

_FILES = ("attention.png", "attention.svg", "attention.npz", "attention.json")
_DEPTH_FILES = ("depth.csv", "depth.png")


def attention(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The input; with --hr the image it is shrunk from.")],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A PromptSR: a name from `promptsr models`, or a checkpoint.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help=f"Folder for {', '.join(_FILES)}.")],
    x: Annotated[int | None, typer.Option(help="Column of the pixel, input pixels.", show_default="the middle")] = None,
    y: Annotated[int | None, typer.Option(help="Row of the pixel, input pixels.", show_default="the middle")] = None,
    group: Annotated[int | None, typer.Option(help="Residual group, from 1.", show_default="the last")] = None,
    block: Annotated[int | None, typer.Option(help="Block in the group, from 1.", show_default="the last")] = None,
    depth: Annotated[
        bool,
        typer.Option("--depth", help=f"Numbers of every block too: {' and '.join(_DEPTH_FILES)}; takes minutes."),
    ] = False,
    pixels: Annotated[int, typer.Option(help="With --depth: pixels that stand for all of the image.")] = 16,
    hr: Annotated[bool, typer.Option("--hr", help="IMAGE is an HR image: shrink it first.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Show where one pixel of the input looks: anchors, what they read, windows, its category groups."""
    targets = [out / name for name in (*_FILES, *(_DEPTH_FILES if depth else ()))]
    check_targets(targets, json_target)
    from analysis.attention.depth import over_depth
    from analysis.attention.figure import draw_attention, draw_depth
    from analysis.attention.pixel import attention_of
    from analysis.common.figure_style import publish

    loaded = load_model(model)
    network = loaded.network
    if not isinstance(network, PromptSR):
        raise UserError(f"{loaded.name} is no PromptSR and has no anchors: choose one, such as promptsr-tiny-x4.")
    lr = load_pair(image, loaded.scale)[1] if hr else decode(image).to_tensor()
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

            def tell(step: "Descending") -> None:
                note = f"group {step.group + 1}, block {step.block + 1}"
                bar.update(task, completed=step.done, total=step.total, note=note)

            study = finish(over_depth(network, lr, pixels=pixels, jacobian=True), tell)
            bar.update(task, completed=len(study.table), note="")
        rows = study.table.to_dict("records")
        result["depth"] = [
            {name: value if math.isfinite(value) else None for name, value in row.items()} for row in rows
        ]
    figure = draw_attention(seen, image.name)
    for name in ("attention.png", "attention.svg"):
        publish(figure, out / name)
    seen.save(out / "attention.npz")
    if study is not None:
        with replacing(out / "depth.csv") as temporary:
            study.table.to_csv(temporary, index=False)
        publish(draw_depth(study.table), out / "depth.png")
    write_json(out / "attention.json", result)
    show(result, _table(result), json_target)


def _table(result: dict[str, Any]) -> Table:
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
