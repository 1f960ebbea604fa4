"""Tables as CSV and as Markdown."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from promptsr.files import replacing


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


def markdown(lines: Sequence[Mapping[str, str]]) -> str:
    """A table whose columns are the keys of its lines, all but the first aligned to the right."""
    head = list(lines[0])
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *([line[key] for key in head] for line in lines)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
