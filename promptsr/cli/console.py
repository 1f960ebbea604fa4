"""Output of the command line: results to stdout, everything else to stderr."""

import json
import math
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from promptsr.support.errors import ConfigError, UserError
from promptsr.support.files import check_writable, write_text

log = Console(stderr=True)

JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON to a file, or to stdout with -.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the network. Repeatable.")
]
RecipeSettings = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace those of the recipe.")
]


def progress_bar(*, shown: bool = True) -> Progress:
    """A bar on stderr: what, how far, how long, how much longer; not `shown` where another process shows it."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=log,
        disable=not shown,
    )


def byte_bar() -> Progress:
    """A bar on stderr for bytes: what, how many, how fast, how much longer."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=log,
    )


def complain(message: str) -> None:
    """One line in red on stderr, however long it is."""
    log.print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False)


def run(app: typer.Typer) -> None:
    """Runs a command line; what the user can mend ends it with one sentence and exit code 2."""
    try:
        app()
    except UserError as error:
        complain(str(error))
        sys.exit(2)


def check_targets(targets: Iterable[Path], json_target: str | None) -> None:
    """Refuses early what a command could not write at its end: its files, and where `JsonOption` points.

    Raises:
        UserError: one of them cannot be written.
    """
    for target in (*targets, *([] if json_target in (None, "-") else [Path(str(json_target))])):
        check_writable(target)


def show(result: dict[str, Any], table: Table, json_target: str | None) -> None:
    """Prints the table, or writes the JSON: with "-" to stdout (nothing else goes there), else to a file as well."""
    text = json.dumps(_finite(result), indent=2, allow_nan=False) + "\n"
    if json_target == "-":
        print(text, end="")
        return
    Console().print(table, crop=False)  # rather lines that are too long than numbers cut off
    if json_target is not None:
        write_text(Path(json_target), text)


def parse_settings(pairs: list[str] | None) -> dict[str, Any]:
    """`["channels=32", "fine_prompting=off"]` -> `{"channels": 32, "fine_prompting": "off"}`.

    Raises:
        ConfigError: an entry without "=".
    """
    settings = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError(f"--set takes KEY=VALUE, not {pair!r}.")
        try:
            settings[key] = json.loads(value)
        except json.JSONDecodeError:
            settings[key] = value
    return settings


def _finite(value: Any) -> Any:
    """JSON has no infinity (the PSNR of equal images) and no NaN: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return value
