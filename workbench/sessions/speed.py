"""How long models take on this machine: seconds for each pixel of a photograph, remembered from the runs so far."""

import platform
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Annotated

from pydantic import BaseModel, Field

from promptsr.support.errors import UserError
from promptsr.support.files import cache_folder, write_text
from workbench.sessions.models import BICUBIC

_MOST = 500
"""Rates that are kept, the latest ones."""
_ENOUGH = 10_000
"""Pixels; a run over fewer is mostly what every run begins with, and tells nothing of larger ones."""
_FILE = "speeds.json"


class _Rates(BaseModel):
    """Rates by model and way, and the machine that they hold for: a home may be shared by several."""

    machine: str = platform.node()
    seconds: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}


def remember(model: str, way: str, pixels: int, seconds: float) -> None:
    """Keep what a run over enough pixels of input has taken, also for the next start of the program.

    Args:
        model: its name.
        way: how it was run, see `workbench.sessions.upscale.UpscaleSettings.way`.
        pixels: of the input, of every step.
        seconds: of all of it.
    """
    if pixels < _ENOUGH:
        return
    rates = _rates().seconds
    rates.pop(_key(model, way), None)
    rates[_key(model, way)] = seconds / pixels
    for key in list(rates)[:-_MOST]:
        del rates[key]
    with suppress(UserError):  # a folder that cannot be written
        write_text(cache_folder() / _FILE, _rates().model_dump_json())


def expected(models: Sequence[str], way: str, pixels: int) -> dict[str, float]:
    """Return the seconds that each of these models will take; empty if one of them has never run in this way.

    Args:
        models: their names; bicubic interpolation, which takes an instant, is left out.
        way: how they are run.
        pixels: of the input.
    """
    known = {name: _rates().seconds.get(_key(name, way)) for name in models if not name.startswith(BICUBIC)}
    return {} if None in known.values() else {name: pixels * (rate or 0) for name, rate in known.items()}


def total(models: Sequence[str], way: str, pixels: int) -> float | None:
    """Return the seconds that all of these models will take, as `expected`; None if that is not known."""
    return sum(expected(models, way, pixels).values()) or None


def latest(model: str) -> float | None:
    """Return the seconds for each pixel of input of a model's last run, in whatever way; None if it has never run."""
    rates = [seconds for key, seconds in _rates().seconds.items() if key.partition("\n")[0] == model]
    return rates[-1] if rates else None


def _key(model: str, way: str) -> str:
    return f"{model}\n{way}"


@cache
def _rates() -> _Rates:
    """Return the rates of this machine; none if the file is not there or was not written by `remember`."""
    with suppress(OSError, ValueError):
        kept = _Rates.model_validate_json((cache_folder() / _FILE).read_bytes())
        if kept.machine == platform.node():
            return kept
    return _Rates()
