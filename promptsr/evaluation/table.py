"""The table: measured rows, then printed ones; as text, as numbers, and as files."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from promptsr.evaluation.benchmark_sets import BenchmarkSet
from promptsr.evaluation.evaluate import Evaluation, decibels
from promptsr.evaluation.measure import Measured
from promptsr.paper.tables import SOURCE, Printed, PrintedRow, printed_rows
from promptsr.support.files import write_text
from promptsr.support.markdown_tables import markdown

FILES = ("table.csv", "table.md")
"""Files that `write_table` writes."""
_DASH = "–"


@dataclass(frozen=True)
class TableOne:
    """Rows of one scale; the columns are sets."""

    scale: int
    self_ensemble: bool
    sets: list[str]
    own_lr: list[str]
    """Sets whose LR images were made here."""
    measured: list[Measured]
    printed: list[PrintedRow]

    @property
    def caption(self) -> str:
        """Return a caption that explains the numbers and names their source."""
        parts = [f"PSNR-Y in dB / SSIM-Y at x{self.scale}."]
        if self.self_ensemble:
            parts.append("+: measured with self-ensemble.")
        if self.own_lr:
            parts.append(f"LR images of {', '.join(self.own_lr)}: bicubic, made here.")
        if self.printed:
            parts.append(f"Published: {SOURCE}; ?: unclear in our copy; {_DASH}: not printed.")
        return " ".join([*parts, *self._remarks()])

    @property
    def lines(self) -> list[dict[str, str]]:
        """Return the rows as text by column: `model`, `figures` (`measured` or `published`), `parameters`, the sets."""
        measured = [
            {
                "model": row.model,
                "figures": "measured",
                "parameters": _parameters(row.parameters),
                **{name: _scores(each) for name, each in row.sets.items()},
            }
            for row in self.measured
        ]
        published = [
            {
                "model": row.method,
                "figures": "published",
                "parameters": _text(row.parameters, "parameters"),
                **{name: _cell(row.sets.get(name, {})) for name in self.sets},
            }
            for row in self.printed
        ]
        return measured + published

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        measured = [
            {
                "model": row.model,
                "parameters": row.parameters,
                "sets": {
                    name: {key: value for key, value in each.to_dict().items() if key not in ("model", "scale")}
                    for name, each in row.sets.items()
                },
            }
            for row in self.measured
        ]
        published = [asdict(row) for row in self.printed]
        return {
            "scale": self.scale,
            "self_ensemble": self.self_ensemble,
            "own_lr": self.own_lr,
            "measured": measured,
            "published": published,
            "source": SOURCE,
        }

    def numbers(self) -> pd.DataFrame:
        """Return the rows as numbers: `model`, `figures`, `parameters`, and of each set `<set> psnr_y`, `<set> ssim_y`,
        and `<set> perfect`, the number of images that the mean PSNR leaves out.

        NaN where nothing clear is printed, or nothing was measured.
        """
        rows: list[dict[str, Any]] = []
        for row in self.measured:
            keys = (*_DIGITS, "perfect")
            scores = {f"{name} {key}": getattr(each, key) for name, each in row.sets.items() for key in keys}
            rows.append({"model": row.model, "figures": "measured", "parameters": row.parameters, **scores})
        for line in self.printed:
            values = {f"{name} {key}": each[key].value for name, each in line.sets.items() for key in _DIGITS}
            rows.append({"model": line.method, "figures": "published", "parameters": line.parameters.value, **values})
        counts = ("parameters", *(f"{name} perfect" for name in self.sets))
        return pd.DataFrame(rows).replace(math.inf, math.nan).astype(dict.fromkeys(counts, "Int64"))

    def _remarks(self) -> list[str]:
        """Return what the sets' evaluations remark, with the set, and the models if it is not true of all."""
        remarks: dict[tuple[str, str], list[str]] = {}
        for row in self.measured:
            for name, each in row.sets.items():
                for remark in each.remarks:
                    remarks.setdefault((name, remark), []).append(row.model)
        everyone = len(self.measured)
        return [
            f"{name if len(models) == everyone else ', '.join([name, *models])}: {remark}"
            for (name, remark), models in remarks.items()
        ]


def table_one(measured: list[Measured], sets: Sequence[BenchmarkSet], scale: int, self_ensemble: bool) -> TableOne:
    """Return the table of the rows of `promptsr.evaluation.measure.measure` and the printed rows of these sets."""
    names = [each.name for each in sets]
    own_lr = [each.name for each in sets if any(lr is None for _, lr in each.pairs)]
    return TableOne(scale, self_ensemble, names, own_lr, measured, printed_rows(scale, names))


def write_table(table: TableOne, folder: Path) -> None:
    """Write `table.csv`, the numbers, and `table.md`, the text, to a folder, which is made when missing.

    Raises:
        UserError: the folder cannot be written.
    """
    write_text(folder / "table.csv", table.numbers().to_csv(index=False, lineterminator="\n"))
    write_text(folder / "table.md", f"{markdown(table.lines)}\n{table.caption}\n")


_DIGITS = {"psnr_y": ".2f", "ssim_y": ".4f"}


def _scores(each: Evaluation) -> str:
    return f"{decibels(each.psnr_y)} / {each.ssim_y:.4f}" if each.images else _DASH


def _text(number: Printed, metric: str) -> str:
    if number.status == "absent":
        return _DASH
    if number.value is None:
        return f"{number.printed}?"
    return _parameters(number.value) if metric == "parameters" else format(number.value, _DIGITS[metric])


def _cell(scores: dict[str, Printed]) -> str:
    texts = [_text(scores[metric], metric) for metric in _DIGITS if metric in scores]
    return _DASH if set(texts) <= {_DASH} else " / ".join(texts)


def _parameters(count: float) -> str:
    return f"{count / 1e3:,.0f}K"
