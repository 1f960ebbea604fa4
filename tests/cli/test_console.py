"""Names are shown as they are, although rich would take them for markup or emoji codes."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.table import Table

from promptsr.cli.console import complain, log, progress_bar, show
from tests.support.commands import Run

NAME = "[/b] :cat: [anime] [v2].png"


def test_tables_show_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(NAME, title=NAME, caption=NAME)
    table.add_row(NAME, style="bold")
    show({}, table, None)
    assert capsys.readouterr().out.count(NAME) == 4


def test_progress_and_errors_show_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    complain(NAME)
    log.print(NAME)
    with progress_bar() as bar:
        bar.add_task(NAME, total=1, note=NAME)
    err = capsys.readouterr().err
    assert f"Error: {NAME}\n{NAME}\n{NAME}" in err and err.count(NAME) >= 3


def test_names_that_are_not_utf_8_are_shown_with_escapes(
    promptsr_process: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / os.fsdecode(b"\xff.txt")).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTSR_MODELS", ".")
    done = promptsr_process("models")
    assert done.returncode == 0 and r"\udcff.txt" in done.stdout


def test_refusals_of_typer_show_names_as_they_are(promptsr: Run) -> None:
    code, _, err = promptsr("[/b]:cat:")
    assert code == 2 and "[/b]:cat:" in err
