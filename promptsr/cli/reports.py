"""`promptsr models` and `promptsr complexity`: a table, or JSON."""

from functools import reduce
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, SetOption, show
from promptsr.config import preset as preset_config
from promptsr.support.yaml_settings import override
from promptsr.zoo.load import list_models


def models(json_target: JsonOption = None) -> None:
    """List the models, their size and their measured scores."""
    known = list_models()
    table = Table("model", "scale", "parameters", "weights", "PSNR-Y / SSIM-Y")
    for model in known:
        scores = "   ".join(f"{name} {s['psnr_y']:.2f} / {s['ssim_y']:.4f}" for name, s in model.scores.items())
        weights = "yes" if model.has_weights else "to be trained"
        table.add_row(model.name, f"x{model.scale}", f"{model.parameters:,}", weights, scores)
    keys = ("name", "scale", "parameters", "has_weights", "scores")
    show({"models": [{key: getattr(model, key) for key in keys} for model in known]}, table, json_target)


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

    config = preset_config(preset, **reduce(override, settings or [], {"scale": scale}))
    cost = count(config, height, width)
    figures = ("params,\ntrue", "MACs,\ntrue", "params,\nprinted", "MACs,\nprinted")
    table = Table(Column("layer", no_wrap=True), *(Column(name, justify="right") for name in figures), box=SIMPLE)
    for layer in [*cost.layers, None]:
        part = layer or cost
        table.add_row(
            layer.name if layer else "[bold]total",
            f"{part.parameters:,}",
            f"{part.multiply_adds / 1e9:.3f}G",
            f"{part.published_parameters:,}",
            f"{part.published_multiply_adds / 1e9:.3f}G",
            end_section=layer is cost.layers[-1],
        )
    table.caption = (
        f"{preset} x{config.scale} on {width} x {height} pixels. MACs: multiply-adds. Printed: by the convention "
        "behind the paper's figures, which leaves out attention products and position tables."
    )
    show(cost.to_dict(), table, json_target)
