"""Sizes of results that differ from the scale of the network."""

import math
from dataclasses import dataclass, fields

from promptsr.support.errors import ConfigError

_MOST = 10**8
"""Pixels of a side, or times the input: more than any format holds."""


@dataclass(frozen=True)
class Size:
    """Size of results: one wish, or none for the scale of the network. Proportions always stay.

    Raises:
        ConfigError: a wish that is not positive or too large, or more than one; width and height count as one.
    """

    scale: float | None = None
    """Sides of the result, as multiples of those of the input."""
    width: int | None = None
    """Pixels; together with `height`, the largest result that fits within both."""
    height: int | None = None
    max_side: int | None = None
    """Most pixels of the longer side: larger results of the network shrink, smaller ones stay as they are."""

    def __post_init__(self) -> None:
        wishes = {field.name: getattr(self, field.name) for field in fields(self)}
        wishes = {name: value for name, value in wishes.items() if value is not None}
        for name, value in wishes.items():
            if not 0 < value <= _MOST:
                raise ConfigError(f"{name} must be more than 0 and at most {_MOST}, not {value}.")
        if len(wishes) > 1 and set(wishes) != {"width", "height"}:
            raise ConfigError(f"Choose one of {' and '.join(wishes)}: only width and height can be given together.")

    def of(self, height: int, width: int, scale: int) -> tuple[int, int]:
        """Return height and width of the result, each at least 1 pixel and rounded to the nearest.

        Args:
            height: of the input; `width` likewise.
            scale: of the network.
        """
        factor: float = scale
        if self.scale is not None:
            factor = self.scale
        elif self.max_side is not None:
            factor = min(scale, self.max_side / max(height, width))
        elif self.width is not None or self.height is not None:
            wished = ((self.height, height), (self.width, width))
            factor = min(wish / side for wish, side in wished if wish is not None)
        rows, columns = (max(1, math.floor(factor * side + 0.5)) for side in (height, width))
        return rows, columns


NO_WISH = Size()
"""The scale of the network."""
