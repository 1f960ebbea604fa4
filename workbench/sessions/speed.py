"""How long models take on this machine: seconds for each pixel of a photograph, remembered from the runs so far."""

from collections.abc import Sequence

_SECONDS: dict[tuple[str, str], float] = {}
"""By model and tile, as they were asked for."""


def remember(model: str, tile: str, pixels: int, seconds: float) -> None:
    """Keep what a run over so many pixels of input has taken."""
    _SECONDS[model, tile] = seconds / pixels


def expected(models: Sequence[str], tile: str, pixels: int) -> dict[str, float]:
    """Return the seconds that each of these models will take; empty if one of them has never run with such tiles."""
    known = {model: _SECONDS.get((model, tile)) for model in models}
    return {} if None in known.values() else {model: pixels * (rate or 0) for model, rate in known.items()}
