"""Printed tables as text, and commands that can be copied."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.paper.claims import ENTRIES
from analysis.paper.materials import Materials
from analysis.paper.report import printed_lines, write_report
from analysis.paper.study import Outcome
from promptsr.paper.tables import TABLES, published


@pytest.mark.parametrize("table", TABLES)
def test_printed_tables_have_all_that_is_printed(table: str) -> None:
    rows, lines = published(table, clear_only=False), printed_lines(table)
    assert len(lines) == len(rows.groupby(["method", "scale"]))
    assert len({tuple(line) for line in lines}) == 1
    shown = [cell for line in lines for cell in list(line.values())[1:]]
    assert sum(cell.endswith("?") for cell in shown) == (rows["status"] == "unclear").sum()


def test_errors_and_names_are_text(materials: Materials, tmp_path: Path) -> None:
    name = "<b>photos</b> and " + "x" * 90
    command = shlex.join(["python", "-m", "analysis", "paper", "--images", name, "--out", "report"])
    outcome = Outcome(ENTRIES[0], "measure", error="No <script>image</script> is there.")
    text = write_report([outcome], replace(materials, out=tmp_path), command).read_text()
    assert "<b>photos" not in text and "<script>" not in text
    assert "No &lt;script&gt;image&lt;/script&gt; is there." in text
    shown = text.partition('aria-label="Command">')[2].partition("</pre>")[0]
    shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'")
    assert shlex.split(shown.replace("\\\n", "")) == shlex.split(command) and "\\\n" in shown
