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


def running(
    text: str, progress: Progress | None = None, units: str = "tiles", share: float | None = None, result: bool = False
) -> str:
    """Return a bar, full as far as the tiles (or other units) are done; one that moves until the first is.

    It names the run that shows it (Gradio's event), as which the page asks to stop it.

    Args:
        text: what is being done.
        progress: in it.
        units: of the progress.
        share: of the whole run that is done, if that is not the progress.
        result: what the page shows is of this run already.
    """
    if progress is not None:
        text = f"{text}: {progress.done} of {progress.total} {units}"
        share = progress.done / progress.total if share is None else share
    bar = f"<i style='width: {100 * share:.1f}%'></i>" if share else "<i class='moving'></i>"
    shown = " data-result" if result else ""
    return (
        f'<div class="status running" role="status" data-run="{run_id()}"{shown}><span>{escape(text)}</span>'
        f'<div class="bar">{bar}</div></div>'
    )


class Job:
    """One bar for a run of several stages, with the time that is left.

    Args:
        stages: weight of each by name, in their order; those of weight 0 do not fill the bar.
        expected: seconds that all of it should take, if that is known.
    """

    def __init__(self, stages: Mapping[str, float], expected: float | None = None) -> None:
        self._stages = stages
        self._expected = expected
        self._begun = time.monotonic()

    def running(self, stage: str, text: str, progress: Progress | None, units: str = "tiles") -> str:
        """Return the status while a stage is at work; see the function `running`."""
        names, weights = list(self._stages), list(self._stages.values())
        own = self._stages[stage]
        done = sum(weights[: names.index(stage)]) + (own * progress.done / progress.total if progress else 0)
        share = done / max(sum(weights), 1e-12)
        if own and progress:
            text += f": {progress.done} of {progress.total} {units}"
        return running(text + self._left(share), share=share)

    def _left(self, share: float) -> str:
        """Return the time left: by what is done, once that says something, and by earlier runs until then."""
        passed = time.monotonic() - self._begun
        if share and passed >= _SOON:
            return f", {duration(passed * (1 - share) / share)} left"
        return f", about {duration(self._expected)} on this machine" if self._expected else ""


def duration(seconds: float) -> str:
    """Return a length of time as people say it."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(seconds, 1):.0f} s"


def finished(
    results: Sequence[UpscaleResult],
    size: tuple[int, int],
    left: str,
    right: str,
    more: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the facts of a finished job.

    Args:
        results: of the model at the left side of the slider, then of the one at the right.
        size: width and height of the photograph.
        left: name of the model at the left side.
        right: name of the model at the right side.
        more: facts that come last.
    """
    result = results[-1]
    width, height = result.picture.width, result.picture.height
    facts = {
        "Before": left,
        "After": right,
        "Input": "{} × {}".format(*size),
        "Output": f"{width} × {height}",
        "Time, both models": f"{sum(each.seconds for each in results):.1f} s",
        "Tile": "whole image" if result.tile is None else f"{result.tile} pixels, {result.tiles} in all",
    }
    if result.note:
        facts["Note"] = result.note
    return done(facts | dict(more))


def done(facts: dict[str, str], run: str | None = None) -> str:
    """Return the names and values of a finished job; `run` is another one than that which is going on."""
    return f'<div class="status done" data-run="{run_id() if run is None else run}">{definitions(facts)}</div>'


def run_id() -> str:
    """Return the run that is going on: Gradio's event."""
    return LocalContext.event_id.get(None) or ""


def definitions(facts: dict[str, str]) -> str:
    """Return the names and values, side by side as far as there is room."""
    rows = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(value)}</dd></div>" for key, value in facts.items())
    return f'<dl class="facts">{rows}</dl>'
