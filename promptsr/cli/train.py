"""`promptsr train`."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.markup import escape

from promptsr.cli.console import SetOption, log, parse_settings, progress_bar
from promptsr.config import preset as preset_config
from promptsr.generators import finish
from promptsr.train import TrainConfig, TrainReport
from promptsr.train import train as run

_DEFAULTS = TrainConfig(data=(), output="")


def train(
    data: Annotated[list[Path], typer.Option(help="Folder of HR images. Repeatable.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run; a stopped run resumes from it.")],
    preset: Annotated[str, typer.Option(help="Network to train; a wrong name lists them all.")] = "promptsr-tiny",
    scale: Annotated[int, typer.Option(help="Upscaling factor.")] = 4,
    settings: SetOption = None,
    validation: Annotated[Path | None, typer.Option(help="Folder of HR images that picks the best weights.")] = None,
    validation_images: Annotated[int | None, typer.Option(help="Only the first so many of them.")] = None,
    init: Annotated[Path | None, typer.Option(help="Checkpoint to start from; its scale may differ.")] = None,
    steps: Annotated[int, typer.Option()] = _DEFAULTS.steps,
    batch: Annotated[int, typer.Option()] = _DEFAULTS.batch,
    patch: Annotated[int, typer.Option(help="Side of the LR crops.")] = _DEFAULTS.patch,
    optimizer: Annotated[
        Literal["adam", "muon"], typer.Option(help="adam as in the paper, or muon on the matrices.")
    ] = _DEFAULTS.optimizer,
    lr: Annotated[float, typer.Option(help="Peak rate of Adam.")] = _DEFAULTS.lr,
    matrix_lr: Annotated[float, typer.Option(help="Peak rate of Muon.")] = _DEFAULTS.matrix_lr,
    schedule: Annotated[
        Literal["cosine", "halving"], typer.Option(help="halving as in the paper, or cosine.")
    ] = _DEFAULTS.schedule,
    warmup: Annotated[int, typer.Option(help="Steps of linear warm-up.")] = _DEFAULTS.warmup,
    clip: Annotated[float, typer.Option(help="Largest norm of the gradient.")] = _DEFAULTS.clip,
    ema: Annotated[float, typer.Option(help="Decay of the averaged weights.")] = _DEFAULTS.ema,
    precision: Annotated[Literal["fp32", "bf16"], typer.Option()] = _DEFAULTS.precision,
    compile_network: Annotated[
        bool, typer.Option("--compile", help="torch.compile: slow start, faster steps.")
    ] = False,
    seed: Annotated[int, typer.Option()] = _DEFAULTS.seed,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = _DEFAULTS.device,
    report_every: Annotated[int, typer.Option(help="Steps.")] = _DEFAULTS.report_every,
    validate_every: Annotated[int, typer.Option(help="Steps; the state is saved as often.")] = _DEFAULTS.validate_every,
) -> None:
    """Train a network on a folder of HR images; run the same command again to resume."""
    model = preset_config(preset, **{"scale": scale, **parse_settings(settings)})
    config = TrainConfig(
        data=tuple(map(str, data)),
        output=str(output),
        validation=None if validation is None else str(validation),
        validation_images=validation_images,
        init=None if init is None else str(init),
        steps=steps,
        batch=batch,
        patch=patch,
        optimizer=optimizer,
        lr=lr,
        matrix_lr=matrix_lr,
        schedule=schedule,
        warmup=warmup,
        clip=clip,
        ema=ema,
        precision=precision,
        compile=compile_network,
        seed=seed,
        device=device,
        report_every=report_every,
        validate_every=validate_every,
    )
    with progress_bar() as bar:
        task = bar.add_task("reading images", total=steps, note="")

        def tell(report: TrainReport) -> None:
            for sentence in report.notes:
                bar.print(f"Note: {escape(sentence)}")
            note = f"loss {report.loss:.4f}"
            bar.update(task, description="training", completed=report.step, note=note)
            if report.psnr_y is not None:
                bar.print(f"step {report.step}: {note}, validation PSNR-Y {report.psnr_y:.3f} dB")

        try:
            best = finish(run(model, config), tell)
        except KeyboardInterrupt:
            log.print(f"Stopped. The same command resumes from {output / 'last.pt'} once it has been written.")
            raise typer.Exit(130) from None
    log.print(f"Done: {best}")
