"""Output of the command line: results to stdout, everything else to stderr.

All text is shown as it is: names of files and models may look like rich's markup or emoji codes. Use `style=` for
bold text.
"""

import io
import json
import sys
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from promptsr.support.errors import UserError, missing_package
from promptsr.support.files import check_writable, finite, write_text
from promptsr.support.progress import Result, Step, finish

if TYPE_CHECKING:
    from promptsr.zoo.sr_model import SRModel

log = Console(stderr=True, markup=False, emoji=False, highlight=False)

JsonOption = Annotated[
    str | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON to a file, or to stdout with -.")
]
ModelsOption = Annotated[
    list[str], typer.Option("--model", "-m", help="A name from `promptsr models`, or a checkpoint. Repeatable.")
]
HrFolder = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of HR images.")]
LrOption = Annotated[
    Path | None, typer.Option(help="Folder of LR images of the same names. Default: bicubic, made from the HR.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the network. Repeatable.")
]
RecipeSettings = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings that replace those of the recipe.")
]


def progress_bar(*, shown: bool = True, of_bytes: bool = False) -> progress.Progress:
    """Return a bar on stderr, whose tasks have a description and a `note`.

    Args:
        shown: False in a process for which another one shows the bar.
        of_bytes: count bytes and show their speed, instead of items and the time since the start.
    """
    counts = (progress.DownloadColumn(), progress.TransferSpeedColumn())
    steps = (progress.MofNCompleteColumn(), progress.TimeElapsedColumn())
    return progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        *(counts if of_bytes else steps),
        progress.TimeRemainingColumn(),
        progress.TextColumn("{task.fields[note]}", markup=False),
        console=log,
        disable=not shown,
    )


def follow(
    work: Generator[Step, None, Result],
    task: str,
    describe: Callable[[Step], tuple[float, float, str]],
    *,
    shown: bool = True,
) -> Result:
    """Run long work under a bar; `describe` says of every step how much is done, of how much, and a note."""
    with progress_bar(shown=shown) as bar:
        row = bar.add_task(task, total=None, note="")

        def tell(step: Step) -> None:
            done, total, note = describe(step)
            bar.update(row, completed=done, total=total, note=note)

        result = finish(work, tell)
        bar.update(row, completed=bar.tasks[row].total, note="")
    return result


def complain(message: str) -> None:
    """Print one line in red on stderr, however long it is."""
    log.print(Text("Error:", "bold red"), message, soft_wrap=True)


def run(app: typer.Typer) -> None:
    """Run a command line; what the user can mend ends it with one sentence and exit code 2."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        app()
    except ModuleNotFoundError as error:
        complain(missing_package(error))
    except UserError as error:
        complain(str(error))
    else:
        return
    sys.exit(2)


def check_targets(targets: Iterable[Path], json_target: str | None) -> None:
    """Check early that a command can write at its end: its files, and where `JsonOption` points.

    Raises:
        UserError: one of them cannot be written.
    """
    for target in targets:
        check_writable(target)
    if json_target not in (None, "-"):
        check_writable(Path(str(json_target)))


def name_weights(models: Iterable["SRModel"], result: dict[str, Any], table: Table) -> None:
    """State under a table, and in its JSON as `weights`, which entries of their files models were read from."""
    taken = {model.name: model.weights for model in models if model.weights}
    if taken:
        result["weights"] = taken
        lines = [f"{name}: weights {entry}" for name, entry in taken.items()]
        table.caption = "\n".join([*([str(table.caption)] if table.caption else []), *lines])


def show(result: dict[str, Any], table: Table, json_target: str | None) -> None:
    """Print the table, or write the JSON: with "-" to stdout (nothing else goes there), else to a file as well."""
    text = json.dumps(finite(result), indent=2, allow_nan=False) + "\n"
    if json_target == "-":
        print(text, end="")
        return
    Console(markup=False, emoji=False).print(table, crop=False)  # rather lines that are too long than numbers cut off
    if json_target is not None:
        write_text(Path(json_target), text)
