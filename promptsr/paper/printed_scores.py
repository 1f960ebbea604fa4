"""The rows of Table I as the paper prints them."""

from dataclasses import dataclass

import pandas as pd

from promptsr.paper.tables import published
from promptsr.zoo.load import SCALES

SOURCE = 'Table I of W. Liu et al., "PromptSR: Cascade Prompting for Lightweight Image Super-Resolution"'


@dataclass(frozen=True)
class Printed:
    """A number, and whether it can be trusted; see `promptsr.paper.tables`."""

    value: float | None
    """None unless clear."""
    printed: str
    """As it was recognised."""
    status: str
    """`clear`, `unclear`, or `absent` for a dash."""


@dataclass(frozen=True)
class PrintedRow:
    """A method at one scale."""

    method: str
    parameters: Printed
    sets: dict[str, dict[str, Printed]]
    """By set, then `psnr_y` and `ssim_y`."""


def printed_rows(scale: int, sets: list[str]) -> list[PrintedRow]:
    """All methods of Table I at a scale, in the order of print, with those of some sets that the paper has.

    Where the paper has no such scale, there is no row.
    """
    if scale not in SCALES:
        return []
    rows = published("I", scale=scale, clear_only=False)
    numbers: dict[str, dict[str, dict[str, Printed]]] = {}
    for row in rows.itertuples():
        number = Printed(None if pd.isna(row.value) else row.value, row.printed, row.status)
        numbers.setdefault(row.method, {}).setdefault(row.dataset, {})[row.metric] = number
    return [
        PrintedRow(method, found[""]["parameters"], {name: found[name] for name in sets if name in found})
        for method, found in numbers.items()
    ]
