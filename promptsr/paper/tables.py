"""The tables of the paper as data: the printed numbers, and which of them can be trusted.

W. Liu et al., "PromptSR: Cascade Prompting for Lightweight Image Super-Resolution", Tables I and III to VII. (Table II
holds formulas: see `analysis.complexity.scaling`.) The source is text recognised from print. Table I came out damaged:
digits are lost, and from x3 on the numbers stand a line below their labels. So a number of Table I has a value only if
something else confirms it, which `evidence` names; the others are kept as printed, marked unclear, and have none.

`later` is no table of the paper: it holds what others print of light networks at x4 that the paper does not compare
with, most of them later. `evidence` names the text in which each number was read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import pandas as pd

from promptsr.support.errors import ConfigError

TABLES = ("I", "III", "IV", "V", "VI", "VII")
LATER = "later"
DATASETS = ("Set5", "Set14", "BSD100", "Urban100", "Manga109")
SOURCE = 'Table I of W. Liu et al., "PromptSR: Cascade Prompting for Lightweight Image Super-Resolution"'


@dataclass(frozen=True)
class Printed:
    """A number, and whether it can be trusted."""

    value: float | None
    """None unless clear."""
    printed: str
    """Text as it was recognised."""
    status: str
    """`clear`, `unclear`, or `absent` for a dash."""


@dataclass(frozen=True)
class PrintedRow:
    """A method at one scale."""

    method: str
    parameters: Printed
    sets: dict[str, dict[str, Printed]]
    """Scores by set, then by `psnr_y` and `ssim_y`."""
    table: str
    """As for `published`."""


def published(
    table: str | None = None, method: str | None = None, scale: int | None = None, clear_only: bool = True
) -> pd.DataFrame:
    """Return one line for each printed number, in the order of print.

    Args:
        table: "I", "III", "IV", "V", "VI", "VII", or "later"; default: all.
        method: as printed ("SwinIR-light"); in the ablations of Tables IV to VII the setting ("d=8"). Default: all.
        scale: 2, 3 or 4; default: all. The ablations are x4.
        clear_only: leave out what is unclear, and the places where the paper prints a dash.

    Returns:
        Columns `table`, `method`, `scale`; `dataset` (empty for costs); `metric` (`psnr_y` in dB, `ssim_y`,
        `parameters`, or `multiply_adds` for 1280 x 720 output); `printed`, the text as it was recognised; `value`, NaN
        unless clear; `status` (`clear`, `unclear`, or `absent` for a dash); `evidence`, what confirms the value or
        why it is in doubt.

    Raises:
        ConfigError: there is no such table, method or scale.
    """
    rows = _all()
    wanted: tuple[tuple[str, str | int | None], ...] = (("table", table), ("method", method), ("scale", scale))
    for column, value in wanted:
        if value is None:
            continue
        known = rows[column].unique()
        if value not in known:
            raise ConfigError(f"No {column} {value} is printed here; there are {', '.join(map(str, known))}.")
        rows = rows[rows[column] == value]
    return (rows[rows["status"] == "clear"] if clear_only else rows).reset_index(drop=True)


def published_value(table: str, method: str, metric: str, dataset: str = "", scale: int = 4) -> float | None:
    """Return one printed number; None if it is missing or unclear."""
    rows = _all()
    place = {"table": table, "method": method, "scale": scale, "dataset": dataset, "metric": metric}
    for column, wanted in place.items():
        rows = rows[rows[column] == wanted]
    return None if rows["value"].isna().all() else float(rows["value"].iloc[0])


def printed_rows(scale: int, sets: list[str], tables: Sequence[str] = ("I",)) -> list[PrintedRow]:
    """Return the methods of tables at a scale, in the order of print, with those of the sets that they have.

    Empty if the tables have no such scale. A method of several tables has the row of the first.
    """
    rows: list[PrintedRow] = []
    for table in tables:
        lines = _all()
        lines = lines[(lines["table"] == table) & (lines["scale"] == scale)]
        numbers: dict[str, dict[str, dict[str, Printed]]] = {}
        for line in lines.itertuples():
            number = Printed(None if pd.isna(line.value) else line.value, line.printed, line.status)
            numbers.setdefault(line.method, {}).setdefault(line.dataset, {})[line.metric] = number
        known = {row.method for row in rows}
        rows += [
            PrintedRow(method, found[""]["parameters"], {name: found[name] for name in sets if name in found}, table)
            for method, found in numbers.items()
            if method not in known
        ]
    return rows


@cache
def _all() -> pd.DataFrame:
    folder = files("promptsr.paper") / "printed"
    tables = []
    for name in (*(f"table_{table}.csv" for table in TABLES), "later.csv"):
        with (folder / name).open(encoding="utf-8") as file:
            texts = dict.fromkeys(("table", "method", "dataset", "metric", "printed", "status", "evidence"), str)
            tables.append(pd.read_csv(file, dtype={**texts, "scale": int, "value": float}, keep_default_na=False,
                                      na_values={"value": [""]}))  # fmt: skip
    return pd.concat(tables, ignore_index=True)
