"""Tables as CSV."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from promptsr.support.files import replacing


def significant(value: float, digits: int = 6) -> float:
    """Rounded to so many significant digits: a file should not show more than what was measured."""
    return float(f"{value:.{digits}g}")


def write_csv(path: Path, rows: Sequence[Any]) -> None:
    """Writes instances of one dataclass, a column for each field; there must be one at least.

    Raises:
        UserError: the path cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
