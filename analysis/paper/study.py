"""Measure the entries of the paper one by one; each is kept as soon as it is done, and a stopped run goes on.

materials = prepare(Path("report"))
outcomes = finish(measure_paper(ENTRIES, materials))
outcomes[0].rulings[0].verdict
"""

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from analysis.common.figure_style import png
from analysis.paper.entry import Entry, Lines, Measurement, Numbers, Ruling
from analysis.paper.materials import Materials
from promptsr.support.errors import UserError
from promptsr.support.files import finite, replacing, write_json
from promptsr.support.progress import map_progress

KEPT = "entries"
"""Folder of the measurements: `<key>.json` with numbers and tables, `<key>-<number>.png` with pictures."""


@dataclass(frozen=True)
class Step:
    """Progress: an entry is at work."""

    title: str
    done: int
    """Entries finished."""
    total: int
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """An entry with its stored measurement, or the reason why there is none."""

    entry: Entry
    command: str
    numbers: Numbers = field(default_factory=dict)
    tables: dict[str, Lines] = field(default_factory=dict)
    pictures: dict[str, Path] = field(default_factory=dict)
    """PNG files by caption."""
    error: str = ""

    @property
    def rulings(self) -> list[Ruling]:
        """Return the verdict on each claim; none after an error."""
        return [] if self.error else [claim.judge(self.numbers) for claim in self.entry.claims]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        judged = zip(self.entry.claims, self.rulings, strict=False)  # no rulings after an error
        claims = [{"claim": claim.text, **asdict(ruling)} for claim, ruling in judged]
        return {
            "key": self.entry.key,
            "title": self.entry.title,
            "claims": claims,
            "command": self.command,
            "numbers": self.numbers,
            "error": self.error,
        }


def measure_paper(entries: Sequence[Entry], materials: Materials) -> Generator[Step, None, list[Outcome]]:
    """Measure all entries that are not kept in `materials.out`; closing the generator stops the work.

    One that fails never costs the others: its outcome has the reason.

    Raises:
        UserError: an image folder cannot be read.
    """
    plans = materials.plans
    outcomes = []
    for done, entry in enumerate(entries):
        yield Step(entry.title, done, len(entries))
        file = materials.out / KEPT / f"{entry.key}.json"
        plan = {name: plans[name] for name in ("sizes", *entry.uses)}
        command = entry.command(materials)
        stored = _read(file)
        if stored.get("plan") != plan:
            try:
                work = entry.measure(materials)
                found = yield from map_progress(work, _telling(entry, done, len(entries)))
            except UserError as error:
                outcomes.append(Outcome(entry, command, error=str(error)))
                continue
            stored = _keep(found, plan, file)
        pictures = {caption: file.with_name(name) for caption, name in stored["pictures"].items()}
        outcomes.append(Outcome(entry, command, stored["numbers"], stored["tables"], pictures))
    return outcomes


def _telling(entry: Entry, done: int, total: int) -> Callable[[str], Step]:
    return lambda note: Step(entry.title, done, total, note)


def _read(file: Path) -> dict[str, Any]:
    """Return what is kept of an entry; nothing if it was never measured, or the file is damaged."""
    try:
        stored: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = all(file.with_name(name).is_file() for name in stored.get("pictures", {}).values())
    return stored if whole else {}


def _keep(found: Measurement, plan: Mapping[str, str], file: Path) -> dict[str, Any]:
    """Write a measurement, the numbers last, and return it as it is read again."""
    pictures = {}
    for number, (caption, figure) in enumerate(found.pictures.items(), start=1):
        pictures[caption] = f"{file.stem}-{number}.png"
        with replacing(file.with_name(pictures[caption])) as temporary:
            temporary.write_bytes(png(figure))
    content = {"plan": plan, "numbers": finite(found.numbers), "tables": found.tables, "pictures": pictures}
    write_json(file, content)
    return _read(file)
