"""`promptsr models` and `promptsr complexity`: a table, or JSON."""

from collections.abc import Sequence
from functools import reduce
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, SetOption, log, show
from promptsr.support.errors import first_few

if TYPE_CHECKING:
    from promptsr.zoo.listing import ModelInfo


def models(
    wanted: Annotated[
        bool, typer.Option("--wanted", help="List the files of the paper's networks that are not here instead.")
    ] = False,
    json_target: JsonOption = None,
) -> None:
    """List the models, their size and their measured scores, and what is ignored in the folder PROMPTSR_MODELS."""
    from promptsr.zoo.listing import search_models

    with log.status("Reading new files"):
        listing = search_models()
    if wanted:
        _show_wanted(listing.models, json_target)
        return
    table = Table("model", "scale", "parameters", "weights", "PSNR-Y / SSIM-Y")
    for model in listing.models:
        scores = "   ".join(f"{name} {s['psnr_y']:.2f} / {s['ssim_y']:.4f}" for name, s in model.scores.items())
        weights = (model.weights or "yes") if model.has_weights else "to be trained"
        table.add_row(model.name, f"x{model.scale}", f"{model.parameters:,}", weights, scores)
    tables = Table.grid()
    tables.add_row(table)
    if listing.ignored:
        ignored = Table(Column("ignored", overflow="fold"), Column("why", overflow="fold"))
        for reason, group in groupby(sorted(listing.ignored, key=lambda each: each[1]), key=lambda each: each[1]):
            ignored.add_row(first_few([str(path) for path, _ in group], 10), reason)
        tables.add_row(ignored)
    keys = ("name", "scale", "parameters", "has_weights", "scores")
    result = {
        "models": [{key: getattr(model, key) for key in keys} for model in listing.models],
        "ignored": [{"path": str(path), "reason": reason} for path, reason in listing.ignored],
    }
    show(result, tables, json_target)


def _show_wanted(models: Sequence["ModelInfo"], json_target: str | None) -> None:
    from promptsr.zoo.authors_files import authors_files

    rows = []
    table = Table("method", "scales", Column("file", overflow="fold"), Column("where", overflow="fold"))
    for entry in authors_files():
        if scales := entry.missing(models):
            downloads = entry.downloads(scales)
            names = entry.names(scales)
            rows.append(
                {
                    "method": entry.method,
                    "scales": scales,
                    "files": names,
                    "page": entry.page,
                    "fetch": downloads,
                    "package": entry.package or None,
                }
            )
            places = [f"promptsr fetch {name}" for name in downloads]
            places += [entry.page] if len(downloads) < len(scales) else []
            needs = f"\nneeds pip install {entry.package}" if entry.package else ""
            upscaled = " ".join(f"x{scale}" for scale in scales)
            table.add_row(entry.method, upscaled, "\n".join(names) or "any name", "\n".join(places) + needs)
    table.caption = "Put files into the folder that PROMPTSR_MODELS names. They are known by their tensors."
    show({"wanted": rows}, table, json_target)


def complexity(
    preset: Annotated[str, typer.Option(help="Name of a preset; a wrong one lists them all.")] = "promptsr",
    scale: Annotated[int, typer.Option(help="Upscaling factor.")] = 4,
    settings: SetOption = None,
    height: Annotated[int, typer.Option(help="Of the LR input, pixels.")] = 180,
    width: Annotated[int, typer.Option(help="Of the LR input, pixels.")] = 320,
    json_target: JsonOption = None,
) -> None:
    """Count parameters and multiply-adds, true ones and by the paper's convention."""
    from promptsr.complexity.counting import count
    from promptsr.config import preset as preset_config
    from promptsr.support.yaml_settings import override

    config = preset_config(preset, **reduce(override, settings or [], {"scale": scale}))
    cost = count(config, height, width)
    figures = ("params,\ntrue", "MACs,\ntrue", "params,\nprinted", "MACs,\nprinted")
    table = Table(Column("layer", no_wrap=True), *(Column(name, justify="right") for name in figures), box=SIMPLE)
    for layer in [*cost.layers, None]:
        part = layer or cost
        table.add_row(
            layer.name if layer else "total",
            f"{part.parameters:,}",
            f"{part.multiply_adds / 1e9:.3f}G",
            f"{part.published_parameters:,}",
            f"{part.published_multiply_adds / 1e9:.3f}G",
            style=None if layer else "bold",
            end_section=layer is cost.layers[-1],
        )
    table.caption = (
        f"{preset} x{config.scale} on {width} x {height} pixels. MACs: multiply-adds. Printed: by the convention "
        "behind the paper's figures, which leaves out attention products and position tables."
    )
    show(cost.to_dict(), table, json_target)
