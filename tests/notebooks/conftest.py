"""How the tests run a notebook."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbclient import NotebookClient

Run = Callable[[str, dict[str, str]], dict[str, Any]]
"""Takes the name of a notebook and expressions by name, and gives their values."""

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Executes a notebook in quick mode, and gives the values of some expressions at its end.

    Nothing may be left in the folder where it runs.
    """
    monkeypatch.setenv("PROMPTSR_QUICK", "1")
    for name in ("PEER", "MODELS", "CATEGORIES", "PHOTOS"):
        monkeypatch.delenv(f"PROMPTSR_{name}", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    here = tmp_path / "here"
    here.mkdir()

    def run(name: str, values: dict[str, str]) -> dict[str, Any]:
        notebook = jupytext.read(ROOT / "notebooks" / f"{name}.py")
        asked = ", ".join(f"{key!r}: {value}" for key, value in values.items())
        notebook.cells.append(nbformat.v4.new_code_cell(f"import json; print(json.dumps({{{asked}}}))"))
        NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(here)}}).execute()
        assert list(here.iterdir()) == []
        answer: dict[str, Any] = json.loads(notebook.cells[-1].outputs[0].text)
        return answer

    return run
