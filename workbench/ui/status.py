"""Status of a job as HTML: progress, result, error."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from html import escape
from types import MappingProxyType
from typing import Any, TypeVar

from gradio.context import LocalContext

from promptsr.inference.upscaler import Progress, UpscaleResult
from promptsr.support.progress import map_progress

Step = TypeVar("Step")
Result = TypeVar("Result")
_BLINK = 0.1
"""Seconds between two news of a run, which can be cancelled whenever there is one."""
_SOON = 5
"""Seconds after which the time left can be told."""


def announced(steps: Generator[Step, None, Result], tell: Callable[[Step], Any]) -> Generator[Any, None, Result]:
    """Run to the end and yields what `tell` makes of the steps, but not more often than eyes can follow."""
    return map_progress(steps, tell, _BLINK)


def idle(text: str = "") -> str:
    """Return a status without a job."""
    return f'<div class="status">{escape(text)}</div>'


def running(text: str, progress: Progress | None = None, units: str = "tiles", left: str = "") -> str:
    """Return a bar, full as far as the tiles (or other units) are done; one that moves until the first is.

    It names the run that shows it (Gradio's event), as which the page asks to stop it.
    """
    if progress is None:
        bar = "<i class='moving'></i>"
    else:
        bar = f"<i style='width: {100 * progress.done / progress.total:.1f}%'></i>"
        text = f"{text}: {progress.done} of {progress.total} {units}{left}"
    run = LocalContext.event_id.get(None) or ""
    return (
        f'<div class="status running" role="status" data-run="{run}"><span>{escape(text)}</span>'
        f'<div class="bar">{bar}</div></div>'
    )


def time_left(progress: Progress, begun: float) -> str:
    """Return how long a run still takes, as far as that can be told from what is done since `begun` (`monotonic`)."""
    passed = time.monotonic() - begun
    if progress.done == 0 or passed < _SOON:
        return ""
    seconds = passed * (progress.total - progress.done) / progress.done
    return f", {seconds / 60:.0f} min left" if seconds >= 90 else f", {seconds:.0f} s left"


def finished(
    results: Sequence[UpscaleResult],
    scale: int,
    left: str,
    right: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the facts of a finished job.

    Args:
        results: of the model at the left side of the slider, then of the one at the right.
        scale: of both models.
        left: name of the model at the left side.
        right: name of the model at the right side.
        more: facts that come last.
    """
    result = results[-1]
    width, height = result.picture.width, result.picture.height
    facts = {
        "Before": left,
        "After": right,
        "Input": f"{width // scale} × {height // scale}",
        "Output": f"{width} × {height}",
        "Time, both models": f"{sum(each.seconds for each in results):.1f} s",
        "Tile": "whole image" if result.tile is None else f"{result.tile} pixels, {result.tiles} in all",
    }
    if result.note:
        facts["Note"] = result.note
    return done(facts | dict(more))


def done(facts: dict[str, str]) -> str:
    """Return the names and values of a finished job."""
    return f'<div class="status done">{definitions(facts)}</div>'


def definitions(facts: dict[str, str]) -> str:
    """Return the names and values, side by side as far as there is room."""
    rows = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'
