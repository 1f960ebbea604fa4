"""The README promises nothing that is not there, and its figures are the measured ones."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from analysis.cli import app as analysis
from promptsr.cli import app as promptsr
from promptsr.zoo.load import list_models

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
STARTS = {"promptsr ": promptsr, "python -m analysis ": analysis}
COMMANDS = [
    (app, shlex.split(line.partition("#")[0].removeprefix(start)))
    for line in README.splitlines()
    for start, app in STARTS.items()
    if line.startswith(start)
]


@pytest.mark.parametrize(("app", "words"), COMMANDS, ids=lambda value: " ".join(value) if type(value) is list else "")
def test_every_command_is_understood(app: typer.Typer, words: list[str]) -> None:
    name, *arguments = words
    command: Any = typer.main.get_command(app)
    context = command.make_context("", list(words))
    sub = command.get_command(context, name)
    sub.make_context(name, arguments, parent=context)  # raises for an option that does not exist


def test_commands_were_found() -> None:
    assert len(COMMANDS) >= 8 and {app for app, _ in COMMANDS} == {promptsr, analysis}


def test_python_examples_compile_and_import() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        compile(example, "README.md", "exec")
        imports = "\n".join(line for line in example.splitlines() if line.startswith(("import ", "from ")))
        exec(imports, {})


def test_scores_are_the_measured_ones() -> None:
    rows = dict(re.findall(r"^\| ((?:promptsr|bicubic)[\w-]*) \| (.*) \|$", README, re.MULTILINE))
    measured = {
        model.name: " | ".join(f"{s['psnr_y']:.2f} / {s['ssim_y']:.4f}" for s in model.scores.values())
        for model in list_models()
        if model.scores
    }
    assert "promptsr-tiny-x4" in measured
    assert rows == measured
