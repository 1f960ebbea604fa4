"""`promptsr train`."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from promptsr.cli.console import RecipeSettings, complain, log, progress_bar
from promptsr.support.errors import UserError


class StopRequest:
    """Record of a stop that was asked for, and of its signal."""

    signal: int | None = None

    def __call__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Record the first SIGINT (Ctrl-C) or SIGTERM; a second one ends the process as usual.

    What the user can mend is said within this context, and ends the command with exit code 2.
    """
    request = StopRequest()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        request.signal = number
        restore()

    for number in before:
        signal.signal(number, note)
    try:
        yield request
    except UserError as error:
        complain(str(error))  # before signals end the process again: torchrun sends them as soon as another is gone
        raise typer.Exit(2) from None
    finally:
        restore()


def train(
    recipe: Annotated[Path, typer.Argument(metavar="CONFIG", help="Recipe, such as configs/cpu-night-x4.yaml.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.")],
    settings: RecipeSettings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from last.ckpt in the folder, if there is one.")
    ] = False,
) -> None:
    """Train a network by a recipe; several processes of torchrun train one together.

    Ctrl-C or SIGTERM saves and ends the run, and --resume goes on from there.
    """
    from promptsr.data.cache import ImagesRead
    from promptsr.support.progress import finish
    from promptsr.support.ranks import started
    from promptsr.training import TrainReport, load_recipe
    from promptsr.training import train as run

    loaded = load_recipe(recipe, settings or [])
    first = started().first
    with stop_request() as request, progress_bar(shown=first) as bar:
        task = bar.add_task("reading images", total=None, note="")
        scores: list[str] = []

        def tell(report: ImagesRead | TrainReport) -> None:
            if isinstance(report, ImagesRead):
                bar.update(task, total=report.total, completed=report.done)
                if request():
                    raise typer.Exit(_code(request.signal))
                return
            if bar.tasks[0].description != "training":  # the time it took to read says nothing about the time left
                bar.reset(task, description="training", total=report.steps)
            note = f"loss {report.loss:.4f}  {report.images_per_second:.1f} images/s"
            lines = [f"Note: {sentence}" for sentence in report.notes]
            if report.psnr_y is not None:
                scores.append(f"{report.psnr_y:.3f} dB")
                lines.append(f"step {report.step}: {note}  validation PSNR-Y {scores[-1]}")
            bar.update(task, completed=report.step, note="  ".join([note, *scores[-1:]]))
            for line in lines if first else ():
                bar.print(line, soft_wrap=True)

        outcome = finish(run(loaded, out, resume=resume, should_stop=request), tell)
    if outcome.finished:
        if first:
            log.print(f"Done: {outcome.weights}", soft_wrap=True)
        return
    if first:
        log.print(f"Stopped at step {outcome.step}, which is saved: --resume goes on from there.", soft_wrap=True)
    raise typer.Exit(_code(request.signal))


def _code(number: int | None) -> int:
    """Return the exit code: Ctrl-C breaks off the script that the command is part of, SIGTERM asks for a clean exit."""
    return 130 if number == signal.SIGINT else 0
