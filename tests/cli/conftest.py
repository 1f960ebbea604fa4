"""Ways of calling a command: for its JSON, or to be refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Run


@pytest.fixture
def result(promptsr: Run) -> Callable[..., dict[str, Any]]:
    """`result("models")` -> the JSON of a command that succeeds; it is all that stdout holds."""

    def run(*arguments: object) -> dict[str, Any]:
        code, out, err = promptsr(*arguments, "--json", "-")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    return run


@pytest.fixture
def refused(promptsr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`refused("models", "--odd")` -> the one sentence on stderr of a command in `tmp_path` that writes nothing."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> str:
        before = {path: path.stat().st_size for path in tmp_path.rglob("*")}
        code, out, err = promptsr(*arguments)
        assert (code, out) == (2, "") and err.count("Error:") == 1 and "Traceback" not in err
        assert {path: path.stat().st_size for path in tmp_path.rglob("*")} == before
        return err

    return run
