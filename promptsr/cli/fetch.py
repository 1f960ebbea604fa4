"""`promptsr fetch`: benchmarks, training data and other networks' weights."""

from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE
from rich.filesize import decimal
from rich.table import Column, Table

from promptsr.cli.console import JsonOption, check_targets, log, progress_bar, show
from promptsr.support.progress import finish


def fetch(
    name: Annotated[str | None, typer.Argument(help="What to fetch. Without it: the list of names.")] = None,
    to: Annotated[
        Path, typer.Option(help="Folder for the file, or for the folder of a set. Made when missing.")
    ] = Path(),
    list_names: Annotated[bool, typer.Option("--list", help="List the names and fetch nothing.")] = False,
    json_target: JsonOption = None,
) -> None:
    """Fetch benchmarks, training data or other networks' weights, checked by size and checksum.

    A broken download goes on when the same command is given again. PROMPTSR_SOURCES=FILE names another list of
    sources, for example that of a mirror.
    """
    if name is None or list_names:
        _list_names(json_target)
        return
    from promptsr.downloads import Step, load_catalogue
    from promptsr.downloads import fetch as work

    catalogue = load_catalogue()
    check_targets([], json_target)
    with progress_bar(of_bytes=True) as bar:
        task = bar.add_task(name, total=None, visible=False, note="")

        def tell(step: Step) -> None:
            bar.update(task, description=step.what, completed=step.done, total=step.total, visible=True)

        fetched = finish(work(name, to, catalogue), tell)
    entry = catalogue[name]
    if fetched.kept:
        note = f"{fetched.kept} is kept: other names come from it too. Delete it when you need none of them."
        log.print(note, soft_wrap=True)
    table = Table("name", "where", "", "licence")
    table.add_row(name, str(fetched.path), "fetched" if fetched.is_new else "was there", entry.licence)
    result = {"name": name, "path": str(fetched.path), "is_new": fetched.is_new, "licence": entry.licence}
    show(result, table, json_target)


def _list_names(json_target: str | None) -> None:
    from promptsr.downloads import load_catalogue

    entries = load_catalogue().values()
    table = Table(
        Column("name", no_wrap=True),
        Column("size", justify="right", no_wrap=True),
        Column("what, licence, source", overflow="fold"),
        box=SIMPLE,
    )
    for entry in entries:
        size = decimal(entry.size) if entry.files else "by hand"
        source = entry.files[0].url if entry.files else entry.page
        table.add_row(entry.name, size, f"{entry.title}\n{entry.licence}\n{source}", end_section=True)
    keys = ("name", "title", "size", "licence", "page", "evidence")
    names = [
        {**{key: getattr(entry, key) for key in keys}, "urls": [file.url for file in entry.files]} for entry in entries
    ]
    show({"names": names}, table, json_target)
