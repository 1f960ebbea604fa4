"""Fixtures of every test of a command: the command line, in a process of its own or in this one, and a photograph."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageCms

Run = Callable[..., tuple[int, str, str]]


def _in_process(name: str, main: Callable[[], None], request: pytest.FixtureRequest) -> Run:
    monkeypatch, capfd = (request.getfixturevalue(fixture) for fixture in ("monkeypatch", "capfd"))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def promptsr(request: pytest.FixtureRequest) -> Run:
    """`promptsr("models", "--json", "-")` -> exit code, stdout, stderr; in this process, for speed."""
    from promptsr.cli import main

    return _in_process("promptsr", main, request)


@pytest.fixture
def analysis(request: pytest.FixtureRequest) -> Run:
    """The same for `python -m analysis`."""
    from analysis.cli import main

    return _in_process("analysis", main, request)


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


@pytest.fixture
def icc_profile() -> bytes:
    """A genuine sRGB profile, made by LittleCMS."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
