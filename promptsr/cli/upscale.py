"""`promptsr upscale`."""

import shutil
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress as Bar
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, complain, log, name_weights, progress_bar, show
from promptsr.support.errors import ConfigError, UserError
from promptsr.zoo.default import BEST, FAST, LARGEST, default_model

if TYPE_CHECKING:
    from promptsr.cli.upscale_plan import Job
    from promptsr.imaging import Header, Picture
    from promptsr.inference.upscaler import Estimate, Upscaler
    from promptsr.zoo.sr_model import SRModel

_LARGE = 2**25
"""Pixels of a result from which on its size and its needs are told before the work."""


def upscale(
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, or folders of images.")],
    output: Annotated[
        str, typer.Option("--output", "-o", help="A file for one image; else a folder (made when missing).")
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A name from `promptsr models`, or a checkpoint.",
            show_default=f"{BEST}; of more than {LARGEST:,} pixels {FAST}",
        ),
    ] = None,
    scale: Annotated[float | None, typer.Option(help="Another scale than the model's, such as 2.5.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels of the result; with --height it fits within both.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels of the result.")] = None,
    max_side: Annotated[int | None, typer.Option(help="Most pixels of the longer side of the result.")] = None,
    tile: Annotated[str, typer.Option(help="auto, whole, or the side of the tiles in input pixels.")] = "auto",
    overlap: Annotated[int, typer.Option(help="Input pixels that neighbouring tiles share.")] = 16,
    memory: Annotated[int, typer.Option(help="Working memory that `--tile auto` may use, MiB.")] = 256,
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="png, jpg, webp or tif for results in a folder, or frames: a folder of PNG for each animation; "
            "default: as the input.",
        ),
    ] = None,
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")] = 95,
    frame: Annotated[
        int | None, typer.Option(min=1, help="Of an animation or of several pages, only this one.")
    ] = None,
    recursive: Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders and keep them.")] = False,
    skip_existing: Annotated[bool, typer.Option("--skip-existing", help="Go on where a stopped run was.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    half: Annotated[bool, typer.Option("--half", help="Half precision, for models known to be safe in it.")] = False,
    ensemble: Annotated[
        bool, typer.Option("--self-ensemble", help="Mean over the eight flips and turns: slower, a little better.")
    ] = False,
    json_target: JsonOption = None,
) -> None:
    """Upscale images, animations and pages; several ranks share the files under torchrun.

    Depth, alpha, colour profile and metadata are kept as far as the format holds them; the rest is named.
    """
    from promptsr.cli.upscale_plan import Wish, plan
    from promptsr.inference.self_ensemble import self_ensemble
    from promptsr.inference.sizes import Size
    from promptsr.inference.upscaler import Upscaler
    from promptsr.support.ranks import joined
    from promptsr.zoo.load import load_model

    if skip_existing and overwrite:
        raise ConfigError("--skip-existing and --overwrite exclude each other: choose one.")
    check_targets([], json_target)
    size = Size(scale, width, height, max_side)

    @cache
    def worker(name: str) -> _Worker:
        loaded = load_model(name)
        upscaler = Upscaler(
            self_ensemble(loaded) if ensemble else loaded,
            tile=_parse_tile(tile),
            overlap=overlap,
            memory_budget=memory << 20,
            device=device,
            half=half,
            size=size,
        )
        return _Worker(f"{name}+" if ensemble else name, loaded, upscaler)

    def worker_for(header: "Header") -> _Worker:
        return worker(model or default_model(header.height * header.width * header.frames))

    def size_of(header: "Header") -> tuple[int, int]:
        estimate = worker_for(header).estimate(header)
        return estimate.height, estimate.width

    worker(model or BEST)  # refuses what no image can be enlarged with

    existing = "skip" if skip_existing else "overwrite" if overwrite else None
    only = None if frame is None else frame - 1
    wish = Wish(output, file_format, only, recursive, existing)
    with joined() as ranks:
        planned = plan(inputs, wish, size_of)
        ranks.barrier()  # all have planned before anyone writes
        done: list[_Done] = []
        failed = list(planned.failed) if ranks.first else []
        if ranks.first:
            for path, reason in planned.left_out:
                _say(f"{path} {reason}: left out")
            for path, reason in failed:
                complain(f"{path}: {reason}")
            if model is None and any(worker_for(job.header) is not worker(BEST) for job in planned.jobs):
                _say(f"Above {LARGEST:,} pixels the network is {FAST}: `-m {BEST}` is better, and slower.")
        with progress_bar(shown=ranks.first) as bar:
            for job in planned.jobs[ranks.rank :: ranks.world]:
                try:
                    done.append(_do(job, worker_for(job.header), only, quality, bar))
                except UserError as error:
                    # One bad file spoils neither the others of a batch nor the exit code.
                    if len(planned.jobs) + len(planned.failed) == 1:
                        raise
                    failed.append((job.source, str(error)))
                    complain(f"{job.source}: {error}")
        done = [each for part in ranks.gather(done) for each in part]
        failed = [each for part in ranks.gather(failed) for each in part]
    if ranks.first:
        places = {str(job.source): place for place, job in enumerate(planned.jobs)}
        done.sort(key=lambda each: places[each.input])
        result = {
            "images": [asdict(each) for each in done],
            "skipped": list(map(str, planned.skipped)),
            "left_out": [{"input": str(path), "reason": reason} for path, reason in planned.left_out],
            "failed": [{"input": str(path), "reason": reason} for path, reason in failed],
        }
        table = _table(done)
        name_weights((worker_for(job.header).model for job in planned.jobs), result, table)
        show(result, table, json_target)
        if planned.skipped:
            _say(f"{len(planned.skipped)} results were there already and have been kept.")
    if failed:
        of = len(planned.jobs) + len(planned.failed)
        raise UserError(f"{len(failed)} of {of} images could not be upscaled; see above.")


@dataclass(frozen=True)
class _Worker:
    """A model at work."""

    name: str
    model: "SRModel"
    upscaler: "Upscaler"

    def estimate(self, header: "Header") -> "Estimate":
        """Estimate what one frame takes."""
        return self.upscaler.estimate(header.height, header.width, bit_depth=header.bit_depth, alpha=header.alpha)


@dataclass
class _Done:
    """A result, as it is reported."""

    input: str
    output: str
    model: str
    width: int = 0
    height: int = 0
    frames: int = 0
    tile: int | None = None
    tiles: int = 0
    seconds: float = 0
    note: str | None = None
    not_kept: list[str] = field(default_factory=list)
    """Metadata and properties of the input that the result lacks."""

    def say(self, text: str | None) -> None:
        """Print a note on this result at once, and keep it."""
        if text and text not in (self.note or ""):
            self.note = f"{self.note} {text}" if self.note else text
            _say(f"{self.input}: {text}")


def _do(job: "Job", worker: _Worker, only: int | None, quality: int, bar: Bar) -> _Done:
    """Upscale one file, all its frames, and write the result."""
    from promptsr.imaging import decode, decode_frames
    from promptsr.imaging.frames import write_frames
    from promptsr.support.progress import finish

    header, estimate = job.header, worker.estimate(job.header)
    _check_space(job.target, estimate.pixels * header.frames * (3 + header.alpha) * header.bit_depth // 8)
    done = _Done(str(job.source), str(job.target), worker.name)
    done.say(job.note)
    if estimate.pixels > _LARGE:
        _say(
            f"{job.source}: {estimate.width} x {estimate.height} pixels ({estimate.pixels / 1e6:.0f} megapixels) in "
            f"{estimate.passes} passes, {estimate.memory / 1e9:.1f} GB of memory and {estimate.disk / 1e9:.1f} GB of "
            "disk meanwhile"
        )
    task = bar.add_task(job.source.name, total=None, note="")

    def enlarged(picture: "Picture") -> "Picture":
        note = f"frame {done.frames + 1} of {header.frames}" if header.frames > 1 else ""
        result = finish(
            worker.upscaler.stream(picture),
            # The tiles of all frames, so that the time left is right.
            lambda step: bar.update(
                task, completed=done.frames * step.total + step.done, total=header.frames * step.total, note=note
            ),
        )
        done.frames += 1
        done.width, done.height, done.tile = result.picture.width, result.picture.height, result.tile
        done.tiles += result.tiles
        done.seconds += result.seconds
        done.say(result.note)
        for each in picture.metadata.notes:
            done.say(each)
        return result.picture

    if header.frames == 1:
        picture = enlarged(decode(job.source, frame=only or 0))
        target, lost = _write(picture, job.target, quality)
        if target != job.target:
            done.output = str(target)
            done.say(f"{job.target} could not be written, so the result is {target}.")
    else:
        lost = write_frames(map(enlarged, decode_frames(job.source)), header, job.target, quality=quality)
    done.not_kept += lost
    if done.not_kept:
        _say(f"{done.output} does not keep: {', '.join(done.not_kept)}")
    return done


def _write(picture: "Picture", target: Path, quality: int) -> tuple[Path, list[str]]:
    """Write a finished result; if that fails, as PNG beside the target or in the temporary folder.

    Returns:
        The file, and what its format cannot keep.

    Raises:
        UserError: none of them can be written.
    """
    from promptsr.imaging import encode

    try:
        return target, encode(picture, target, quality=quality)
    except UserError:
        for folder in (target.parent, Path(tempfile.gettempdir())):
            with suppress(UserError):
                spare = folder / f"{target.stem}-{token_hex(4)}.png"
                return spare, encode(picture, spare)
        raise


def _check_space(target: Path, size: int) -> None:
    """Refuse a result that its disk has no room for, even without compression.

    Raises:
        UserError: there is less.
    """
    free = shutil.disk_usage(next(parent for parent in target.absolute().parents if parent.exists())).free
    if size > free:
        raise UserError(
            f"{target} may need {size / 1e6:.0f} MB, and its disk has {free / 1e6:.0f} MB free: make room, or choose "
            "another --output."
        )


def _table(done: list[_Done]) -> Table:
    paths = (Column(name, overflow="fold") for name in ("input", "output"))
    table = Table(*paths, "model", "size", "tile", "seconds")
    for each in done:
        frames = f", {each.frames} frames" if each.frames > 1 else ""
        size, side = f"{each.width} x {each.height}{frames}", str(each.tile or "whole")
        table.add_row(each.input, each.output, each.model, size, side, f"{each.seconds:.1f}")
    return table


def _say(text: str) -> None:
    log.print(text, soft_wrap=True)


def _parse_tile(text: str) -> str | int:
    if text in ("auto", "whole"):
        return text
    try:
        return int(text)
    except ValueError as error:
        raise ConfigError(f"--tile takes auto, whole or a number of input pixels, not {text!r}.") from error
