"""Every figure and table of the paper has an entry, with a command that its program knows."""

import shlex

from analysis.cli import app
from analysis.paper.claims import ENTRIES
from analysis.paper.materials import Materials
from promptsr.paper.tables import TABLES

FIGURES = [f"Fig. {number}" for number in range(1, 12)]
ALL_TABLES = [f"Table {number}" for number in ("I", "II", "III", "IV", "V", "VI", "VII")]


def test_every_figure_and_table_has_an_entry_with_claims() -> None:
    assert [entry.title for entry in ENTRIES] == FIGURES + ALL_TABLES
    assert len({entry.key for entry in ENTRIES}) == len(ENTRIES)
    assert all(entry.claims for entry in ENTRIES)
    assert [entry.table for entry in ENTRIES if entry.table] == list(TABLES)  # Table II holds formulas


def test_entries_depend_on_known_materials(materials: Materials) -> None:
    assert {name for entry in ENTRIES for name in entry.uses} <= set(materials.plans)


def test_commands_exist(materials: Materials) -> None:
    known = {command.callback.__name__.replace("_", "-") for command in app.registered_commands if command.callback}
    for entry in ENTRIES:
        words = shlex.split(entry.command(materials))
        if words[0] == "python":
            assert words[:3] == ["python", "-m", "analysis"] and words[3] in known
        else:
            assert words[0] == "promptsr" and words[1] in ("evaluate", "complexity")
