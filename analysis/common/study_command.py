"""Run a study of a folder from the command line: one bar, images that are left out are named, ranks, resumption."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

from analysis.common.each_image import ImageLog, ImageStep
from promptsr.cli.console import follow, log
from promptsr.cli.left_out import LeftOutLog
from promptsr.data.pairs import FoundPairs
from promptsr.support.ranks import joined

Result = TypeVar("Result")


def run_study(
    found: FoundPairs,
    log_folder: Path,
    start: Callable[..., Generator[ImageStep, None, Result]],
    **settings: Any,
) -> Result | None:
    """Run a study, and name the images that it leaves out.

    Args:
        found: the images.
        log_folder: keeps every record at once; a stopped study goes on from there.
        start: the study; takes the pairs, `left_out`, `log`, `ranks` and the settings, as `for_each_image` does, and
            returns a result with `skipped`.
        settings: more arguments of the study.

    Returns:
        The study; None in the processes that leave it to the first one to write.
    """
    left_out = LeftOutLog()

    def describe(step: ImageStep) -> tuple[int, int, str]:
        left_out.name(step.left_out)
        return step.done, step.total, f"{step.image} {step.model}"

    unusable = {path.name: reason for path, reason in found.left_out}
    with joined() as ranks:
        work = start(found.pairs, left_out=unusable, log=ImageLog(log_folder), ranks=ranks, **settings)
        study: Any = follow(work, "images", describe, shown=ranks.first)
    if not ranks.first:
        return None
    left_out.name(study.skipped)
    for note in found.notes:
        log.print(note, soft_wrap=True)
    result: Result = study
    return result
