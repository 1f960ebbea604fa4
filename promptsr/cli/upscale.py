"""`promptsr upscale`."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from promptsr.cli.console import JsonOption, complain, log, progress_bar, show
from promptsr.imaging import SUFFIXES, decode, encode, find_images
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.inference.upscaler import MEMORY_BUDGET, Upscaler, UpscaleResult
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.files import check_writable
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model


def upscale(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, or folders of images.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file for one image; else a folder (made when missing).")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint.")
    ] = "promptsr-tiny-x4",
    tile: Annotated[str, typer.Option(help="auto, whole, or the side of the tiles in input pixels.")] = "auto",
    overlap: Annotated[int, typer.Option(help="Input pixels that neighbouring tiles share.")] = 16,
    memory: Annotated[int, typer.Option(help="Working memory that `--tile auto` may use, MiB.")] = MEMORY_BUDGET >> 20,
    file_format: Annotated[
        str | None, typer.Option("--format", help="png, jpg, webp or tif for results in a folder; default: as input.")
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    half: Annotated[bool, typer.Option("--half", help="Half precision, for models known to be safe in it.")] = False,
    ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Mean over the eight flips and turns: slower, a little better.")
    ] = False,
    json_target: JsonOption = None,
) -> None:
    """Upscale images. Depth, alpha, colour profile and metadata are kept."""
    pairs = _plan(inputs, output, file_format)
    loaded = load_model(model)
    upscaler = Upscaler(
        self_ensemble(loaded) if ensemble else loaded,
        tile=_parse_tile(tile),
        overlap=overlap,
        memory_budget=memory << 20,
        device=device,
        half=half,
    )
    rows, failures = [], 0
    table = Table("input", "output", "size", "tile", "seconds")
    with progress_bar() as bar:
        for source, target in pairs:
            try:
                result = _upscale_file(upscaler, source, target, quality, bar)
            except UserError as error:
                # One bad file spoils neither the others of a batch nor the exit code.
                if len(pairs) == 1:
                    raise
                failures += 1
                complain(f"{source}: {error}")
                continue
            if result.note:
                log.print(escape(f"{source}: {result.note}"), soft_wrap=True, highlight=False)
            picture = result.picture
            size = f"{picture.width} x {picture.height}"
            side = str(result.tile or "whole")
            table.add_row(str(source), str(target), size, side, f"{result.seconds:.1f}")
            facts = {key: getattr(result, key) for key in ("tile", "tiles", "seconds", "note")}
            files = {"input": str(source), "output": str(target)}
            rows.append({**files, "width": picture.width, "height": picture.height, **facts})
    show({"model": f"{model}+" if ensemble else model, "images": rows}, table, json_target)
    if failures:
        raise UserError(f"{failures} of {len(pairs)} images could not be upscaled; see above.")


def _upscale_file(upscaler: Upscaler, source: Path, target: Path, quality: int, bar: Progress) -> UpscaleResult:
    picture = decode(source)
    task = bar.add_task(source.name, total=None, note="")
    result = finish(upscaler.stream(picture), lambda step: bar.update(task, completed=step.done, total=step.total))
    encode(result.picture, target, quality=quality)
    return result


def _plan(inputs: list[Path], output: Path, file_format: str | None) -> list[tuple[Path, Path]]:
    """Plan which file becomes which, and refuse all that can be refused without decoding."""
    sources = [file for path in inputs for file in (find_images(path) if path.is_dir() else [path])]
    single = len(inputs) == 1 and not inputs[0].is_dir() and not output.is_dir()
    targets = [output] if single else [output / _result_name(source, file_format) for source in sources]
    doubles = [target for target, count in Counter(targets).items() if count > 1]
    if doubles:
        raise UserError(f"Two inputs would both become {doubles[0]}: give them other names, or upscale them apart.")
    for source, target in zip(sources, targets, strict=True):
        if not source.exists():
            raise UserError(f"There is no file {source}: check the path.")
        if target.suffix.lower() not in SUFFIXES:
            raise UserError(f"{target} has no known image suffix: use one of {', '.join(SUFFIXES)}.")
        if target.resolve() == source.resolve():
            raise UserError(f"{source} would be overwritten by its own result: choose another --output.")
        check_writable(target)
    return list(zip(sources, targets, strict=True))


def _result_name(source: Path, file_format: str | None) -> str:
    if file_format is not None:
        return f"{source.stem}.{file_format.lower().lstrip('.')}"
    return source.name if source.suffix.lower() in SUFFIXES else f"{source.stem}.png"


def _parse_tile(text: str) -> str | int:
    if text in ("auto", "whole"):
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"--tile takes auto, whole or a number of input pixels, not {text!r}.") from error
