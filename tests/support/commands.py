"""Fixtures of every test of a command: the command line, in a process of its own or in this one, and a photograph."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def promptsr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """`promptsr("models", "--json", "-")` -> exit code, stdout, stderr; in this process, for speed."""
    from promptsr.cli import main

    return partial(_run, main, monkeypatch, capfd)


@pytest.fixture
def analysis(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The same for `python -m analysis`."""
    from analysis.cli import main

    return partial(_run, main, monkeypatch, capfd)


def _run(
    main: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
    code = 0
    try:
        main()
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capfd.readouterr()
    return code, out, err


@pytest.fixture
def refused(analysis: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Check that a command ends with one sentence, which holds the hint, and code 2, and leaves FILE alone."""

    def check(hint: str, *arguments: object) -> None:
        monkeypatch.chdir(tmp_path)
        Path("FILE").write_text("kept")
        code, out, err = analysis(*arguments)
        assert (code, out, err.count("Error:")) == (2, "", 1) and hint in err, err
        assert os.listdir() == ["FILE"] and Path("FILE").read_text() == "kept"

    return check


@pytest.fixture
def promptsr_process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The same in a process of its own, exactly as a user's shell starts it."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = Path(sys.executable).with_name("promptsr")
        return subprocess.run([command, *map(str, arguments)], capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A PNG of 20 x 14 pixels with some structure."""
    from promptsr.imaging import Picture, encode

    rows, columns, channels = np.indices((14, 20, 3))
    pixels = (127 + 100 * np.sin(rows / 2 + columns / 3 + channels)).astype(np.uint8)
    path = tmp_path / "in" / "photo.png"
    encode(Picture(pixels), path)
    return path
