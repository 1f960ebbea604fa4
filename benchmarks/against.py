"""Upscaling, attribution and training of this checkout, alone and beside a busy process, and against another commit.

    python benchmarks/against.py                         # to benchmarks/results/against.md and against.csv
    python benchmarks/against.py --commit 757bb4c --job "training 8 32" --job "training 4 64"

Each job runs in a process of its own, all in turns. The busy process keeps one core for itself. Nothing else may run
on the machine meanwhile.
"""

import promptsr.wait_policy  # noqa: F401
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.passes import Settings
from benchmarks.report import RESULTS, command, head, publish_text, significant, warn_if_busy, write_csv
from promptsr.cli.console import check_targets, log, run
from promptsr.support.errors import UserError
from promptsr.support.markdown_tables import markdown

_ROOT = Path(__file__).resolve().parents[1]
_JOBS = ("upscaling 128", "attribution 64", "training 8 32", "training 4 64")
HERE = "this checkout"


@dataclass(frozen=True)
class Row:
    """One job."""

    job: str
    commit: str
    neighbour: bool
    """True if a process that keeps one core busy ran beside it."""
    threads: int
    seconds: float
    """Seconds of one pass: the median, over all turns."""
    share_of_alone: float
    """Speed over that of the same job alone."""
    speed_ratio: float
    """Speed over that of the other commit, in the same situation; 1 without another commit."""


@contextmanager
def worktree(commit: str) -> Iterator[Path]:
    """Check out another commit in a temporary folder.

    Raises:
        UserError: git has no such commit.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tree"
        done = subprocess.run(
            ["git", "-C", str(_ROOT), "worktree", "add", "--detach", str(path), commit], capture_output=True, text=True
        )
        if done.returncode:
            raise UserError(f"git has no commit {commit} here: fetch it, or name another by --commit.")
        try:
            yield path
        finally:
            subprocess.run(["git", "-C", str(_ROOT), "worktree", "remove", "--force", str(path)], capture_output=True)


@contextmanager
def busy_process() -> Iterator[None]:
    """Within this context a process computes all the time."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def passes(tree: Path, job: str, threads: int, seconds: float, neighbour: bool) -> list[float]:
    """Return the seconds of each pass of a job with the code of a tree.

    Raises:
        UserError: it failed.
    """
    # The job's own file is ours; what it imports is the tree's.
    started = [sys.executable, str(_ROOT / "benchmarks" / "jobs.py"), *job.split(), "--seconds", str(seconds)]
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
    with busy_process() if neighbour else nullcontext():
        done = subprocess.run(started, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{job} failed in {tree.name}: {done.stderr.strip().splitlines()[-1]}")
    found: list[float] = json.loads(done.stdout)
    return found


def measure(trees: dict[str, Path], jobs: list[str], threads: int, seconds: float, turns: int) -> list[Row]:
    """Return a row for each job, commit and situation; the commits take turns."""
    rows = []
    for job in jobs:
        taken: dict[tuple[str, bool], list[float]] = {}
        for turn in range(turns):
            for neighbour in (False, True):
                for name, tree in trees.items():
                    log.print(f"{job}, {name}{', beside a busy process' * neighbour}, turn {turn + 1}", highlight=False)
                    taken.setdefault((name, neighbour), []).extend(passes(tree, job, threads, seconds, neighbour))
        medians = {key: statistics.median(values) for key, values in taken.items()}
        other = next((name for name in trees if name != HERE), HERE)
        rows += [
            Row(
                job,
                name,
                neighbour,
                threads,
                significant(median),
                significant(medians[name, False] / median),
                significant(medians[other, neighbour] / median),
            )
            for (name, neighbour), median in medians.items()
        ]
    return rows


def table(rows: list[Row]) -> str:
    """Return Markdown: a line for each row."""
    return markdown(
        [
            {
                "job": row.job,
                "code": row.commit,
                "beside a busy process": "yes" if row.neighbour else "",
                "seconds": f"{row.seconds:g}",
                "share of its speed alone": f"{row.share_of_alone:.2f}",
                "times the other's speed": f"{row.speed_ratio:.2f}",
            }
            for row in rows
        ]
    )


def against(
    commit: Annotated[str | None, typer.Option(help="Another commit, measured in turns with this checkout.")] = None,
    job: Annotated[list[str] | None, typer.Option(help="As benchmarks/jobs.py takes them; repeatable.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of one turn of one job.")] = 10,
    turns: Annotated[int, typer.Option(min=1, help="Of every job.")] = 3,
    threads: Annotated[int | None, typer.Option(min=1, help="Of the CPU.", show_default="as torch chooses")] = None,
    output: Annotated[Path, typer.Option(help="Folder for against.csv and against.md.")] = RESULTS,
) -> None:
    """Measure, write and print."""
    settings = Settings(threads or torch.get_num_threads())
    targets = output / "against.csv", output / "against.md"
    check_targets(list(targets), None)
    warn_if_busy(settings.threads)
    jobs = job or list(_JOBS)
    with worktree(commit) if commit else nullcontext(None) as other:
        trees = {HERE: _ROOT} if other is None or commit is None else {commit: other, HERE: _ROOT}
        rows = measure(trees, jobs, settings.threads, seconds, turns)
    text = (
        f"{head('Alone and beside a busy process', 'against', settings)}\n\n"
        f"Median of all passes in {turns} turns of {seconds:g} s, each in a process of its own. The busy process keeps "
        f"one core for itself; a fair share of two cores would then be 0.75.\n\n{table(rows)}"
    )
    write_csv(targets[0], rows)
    publish_text(targets[1], text)


app = command(against)

if __name__ == "__main__":
    run(app)
