"""The living paper as one self-contained HTML page."""

import base64
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from analysis.common.page import render
from analysis.paper.entry import Lines, Verdict
from analysis.paper.materials import Materials
from analysis.paper.study import Outcome
from promptsr.paper.tables import published
from promptsr.support.files import write_text

PAGE = "paper.html"
_MARKS = {
    Verdict.REPRODUCED: ("yes", "✓"),
    Verdict.UNTRAINED_TOO: ("also", "≈"),
    Verdict.NOT_REPRODUCED: ("no", "✗"),
    Verdict.UNMEASURED: ("open", "?"),
}
"""Class and sign of each verdict on the page."""
_DENSITY = 1.45
"""Pixels of a picture for one on the page: its text has the size of captions."""
_LINE = 84
"""Characters of a line of a command."""
_UNITS = {"psnr_y": "PSNR", "ssim_y": "SSIM", "parameters": "parameters", "multiply_adds": "multiply-adds"}


def write_report(outcomes: Sequence[Outcome], materials: Materials, command: str) -> Path:
    """Write `paper.html` to the folder of the materials and return its path.

    Args:
        outcomes: of `measure_paper`.
        materials: that they were measured with.
        command: the command line to show.

    Raises:
        UserError: the page cannot be written.
    """
    page = render(
        "analysis.paper",
        "paper.html",
        command=_wrapped(command),
        counts=count_verdicts(outcomes),
        marks=_MARKS,
        materials=_described(materials),
        entries=[
            {
                "outcome": outcome,
                "entry": outcome.entry,
                "claims": list(zip(outcome.entry.claims, outcome.rulings, strict=False)),
                "command": _wrapped(outcome.command),
                "pictures": [_picture(caption, path) for caption, path in outcome.pictures.items()],
                "printed": printed_lines(outcome.entry.table) if outcome.entry.table else [],
            }
            for outcome in outcomes
        ],
    )
    write_text(materials.out / PAGE, page)
    return materials.out / PAGE


def count_verdicts(outcomes: Sequence[Outcome]) -> dict[Verdict, int]:
    """Return the number of claims with each verdict."""
    found = Counter(ruling.verdict for outcome in outcomes for ruling in outcome.rulings)
    return {verdict: found[verdict] for verdict in Verdict}


def printed_lines(table: str) -> Lines:
    """Return a printed table as text, a row per method and scale; unclear print has a question mark."""
    rows = published(table, clear_only=False)
    columns = list(dict.fromkeys(_column(row.dataset, row.metric) for row in rows.itertuples()))
    scales = rows["scale"].nunique() > 1
    lines: dict[str, dict[str, str]] = {}
    for row in rows.itertuples():
        name = f"{row.method} ×{row.scale}" if scales else row.method
        line = lines.setdefault(name, {"method": name, **dict.fromkeys(columns, "–")})
        line[_column(row.dataset, row.metric)] = f"{row.printed}?" if row.status == "unclear" else row.printed
    return list(lines.values())


def _column(dataset: str, metric: str) -> str:
    return f"{dataset} {_UNITS[metric]}".strip()


def _described(materials: Materials) -> Mapping[str, str]:
    """Return the materials in words, by name."""
    samples = "bundled samples"
    return {
        "Network": f"{materials.model.name}, {materials.model.parameters:,} parameters",
        "Compared with": ", ".join(model.name for model in materials.against),
        "Photographs": samples if materials.photographs.parent == materials.out else materials.photographs.name,
        "Categories": materials.categories.name if materials.categories else f"crops of the {samples}",
        "Benchmark sets": ", ".join(each.name for each in materials.sets) or "none",
    }


def _picture(caption: str, path: Path) -> dict[str, str | int]:
    """Return a PNG file as a data URI, with its caption and its width in CSS pixels."""
    with Image.open(path) as image:
        width = round(image.width / _DENSITY)
    return {"caption": caption, "uri": f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}",
            "width": width}  # fmt: skip


def _wrapped(command: str) -> str:
    """Break a command line between its options, as a shell understands it."""
    parts: list[str] = []
    for word in shlex.split(command):
        if parts and parts[-1].startswith("-") and " " not in parts[-1] and not word.startswith("-"):
            parts[-1] += f" {shlex.quote(word)}"  # the value of an option
        else:
            parts.append(shlex.quote(word))
    lines = parts[:1]
    for part in parts[1:]:
        if len(lines[-1]) + len(part) < _LINE:
            lines[-1] += f" {part}"
        else:
            lines.append(f"    {part}")
    return " \\\n".join(lines)
