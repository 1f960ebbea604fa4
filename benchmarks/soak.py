"""Many users of the workbench at once: does it answer, refuse in known words, and keep its memory?

    python benchmarks/soak.py --minutes 10 --users 20 --seed 0    # to benchmarks/results/soak.md, .csv

The workbench runs in a process of its own. soak.csv has its memory over time. Ends with code 1 if an answer is not as
documented, heavy jobs overlap, or memory grows by more than the limit. Linux only.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Annotated

import httpx
import torch
import typer

from benchmarks.machine import describe, started_as
from benchmarks.passes import Settings
from benchmarks.soak_photos import Photos
from benchmarks.soak_report import LIMIT, WARM_UP, Sample, memory_at_rest, memory_at_work, overlapping, report
from benchmarks.soak_server import Workbench, serving
from benchmarks.soak_users import Record, User
from benchmarks.soak_window import TIMEOUT
from benchmarks.tables import write_csv
from promptsr.cli.console import check_targets, log, run
from promptsr.support.errors import ConfigError
from promptsr.support.files import write_text

RESULTS = Path(__file__).parent / "results"
_EVERY = 2.0
"""Seconds between two samples of memory."""
_REST = 20.0
"""Seconds after the last user, for connections to end."""


class Told:
    """What users did so far, and how the server was."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.records: list[Record] = []
        self.samples: list[Sample] = []

    def sample(self, workbench: Workbench) -> Sample:
        """The server now."""
        files, megabytes = workbench.cached()
        minutes = round((time.monotonic() - self.begun) / 60, 3)
        found = Sample(
            minutes, len(self.records), workbench.resident(), workbench.open_files(), files, round(megabytes, 1)
        )
        self.samples.append(found)
        return found

    def at_rest(self, workbench: Workbench) -> Sample:
        """The server some time after the last user."""
        time.sleep(_REST)
        workbench.collect()
        return self.sample(workbench)


async def visit(
    workbench: Workbench, photos: Photos, seconds: float, users: int, seed: str, pause: float, told: Told
) -> None:
    """Lets users come, and go after that time; tells what they did, and how the server was meanwhile."""
    until = time.monotonic() + seconds

    async def watch() -> None:
        while time.monotonic() < until:
            told.sample(workbench)
            await asyncio.sleep(_EVERY)

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=2 * users)
    async with httpx.AsyncClient(base_url=workbench.url, timeout=TIMEOUT, limits=limits) as http:
        people = [User(http, photos, f"{seed}-{number}", told.records.append, pause) for number in range(users)]
        await asyncio.gather(watch(), *(user.use(until) for user in people))


def soak(
    minutes: Annotated[float, typer.Option(min=0.1, help="For how long.")] = 10,
    users: Annotated[int, typer.Option(min=1, help="At once, each with two windows.")] = 20,
    seed: Annotated[int, typer.Option(help="Of what they do.")] = 0,
    pause: Annotated[float, typer.Option(min=0, help="Seconds between two looks around, on average.")] = 8,
    output: Annotated[Path, typer.Option(help="Folder for soak.csv and soak.md.")] = RESULTS,
) -> None:
    """Let users come, write what came of it, and print it."""
    if not Path("/proc/self/status").exists():
        raise ConfigError("Memory is measured as Linux tells it: run this benchmark on Linux.")
    table, text = (output / f"soak.{suffix}" for suffix in ("csv", "md"))
    check_targets([table, text], None)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as name, serving(Path(name)) as workbench:
        photos = Photos(Path(name, "photos"))
        log.print(f"{users} users at {workbench.url} for {minutes:g} minutes", highlight=False)
        told = Told()
        rest = [told.sample(workbench)]
        for number, part in enumerate((WARM_UP, 1 - WARM_UP)):
            begun = len(told.samples)
            asyncio.run(visit(workbench, photos, 60 * minutes * part, users, f"{seed}-{number}", pause, told))
            samples = told.samples[begun:]
            rest.append(told.at_rest(workbench))
        passes = workbench.passes()
        said = workbench.log
    head = (
        f"`{started_as('soak')}`\n\n{describe(Settings(torch.get_num_threads()))} Load of the machine when it began: "
        f"{load:.1f}.\n\n{users} users at once for {minutes:g} minutes, each with a window to work in and one to look "
        f"around meanwhile; others take their places after {WARM_UP:.0%} of the time, the warm-up."
    )
    written = report(told.records, passes, samples, head, rest)
    write_csv(table, told.samples)
    write_text(text, written)
    print(written)
    if "Traceback" in said:
        log.print(f"The workbench printed:\n{said[said.index('Traceback') :][:3000]}", markup=False, highlight=False)
    wrong = any(each.outcome == "wrong" for each in told.records)
    growth = max(memory_at_rest(rest).percent, memory_at_work(samples).percent)
    if wrong or "Traceback" in said or overlapping(passes) or growth > LIMIT:
        raise typer.Exit(1)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(soak)

if __name__ == "__main__":
    run(app)
