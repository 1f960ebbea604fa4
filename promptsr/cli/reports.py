"""`promptsr models`, `promptsr complexity` and `promptsr evaluate`: a table, or JSON."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, SetOption, parse_settings, progress_bar, show
from promptsr.config import preset as preset_config
from promptsr.errors import ConfigError
from promptsr.zoo import list_models, load_model


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
    from promptsr.complexity import count

    config = preset_config(preset, **{"scale": scale, **parse_settings(settings)})
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


def evaluate(
    model: Annotated[str, typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint.")],
    hr: Annotated[Path, typer.Option(help="Folder of HR images.")],
    lr: Annotated[
        Path | None, typer.Option(help="Folder of LR images of the same names. Default: bicubic, made from the HR.")
    ] = None,
    scale: Annotated[int | None, typer.Option(help="Checked against the model's.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    json_target: JsonOption = None,
) -> None:
    """Measure PSNR and SSIM on Y over a folder, as in the paper's Table I."""
    from promptsr.evaluate import Evaluation, find_pairs
    from promptsr.evaluate import evaluate as scores_of

    loaded = load_model(model).to(device)
    if scale is not None and scale != loaded.scale:
        raise ConfigError(f"{model} upscales x{loaded.scale}, not x{scale}: choose a model for x{scale}.")
    pairs = find_pairs(hr, lr)
    images = []
    table = Table("image", "PSNR-Y (dB)", "SSIM-Y")
    with progress_bar() as bar:
        task = bar.add_task(model, total=len(pairs), note="")
        for image in scores_of(loaded, pairs):
            images.append(image)
            table.add_row(image.name, f"{image.psnr_y:.3f}", f"{image.ssim_y:.4f}")
            bar.update(task, advance=1, note=f"{image.psnr_y:.2f} dB")
    result = Evaluation(model, loaded.scale, images)
    table.add_section()
    table.add_row("[bold]mean", f"[bold]{result.psnr_y:.3f}", f"[bold]{result.ssim_y:.4f}")
    show(result.to_dict(), table, json_target)
