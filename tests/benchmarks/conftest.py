"""Benchmarks as they are started: in a process of their own, or in this one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.CompletedProcess[str]]
Invoke = Callable[..., None]


@pytest.fixture
def start() -> Start:
    """Start a benchmark from the command line: `start("speed.py", "--threads", "1")`."""

    def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, f"benchmarks/{script}", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)

    return run


@pytest.fixture
def invoke() -> Invoke:
    """Run the command line of a benchmark in this process; it must succeed."""

    def run(app: typer.Typer, *arguments: object) -> None:
        done = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output

    return run
