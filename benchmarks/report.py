"""The report of a benchmark: its head with the command and the machine, its tables as CSV, and its command line."""

import csv
import os
import platform
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.text import Text

from benchmarks.passes import Settings
from promptsr import kernels
from promptsr.cli.console import log
from promptsr.support.files import replacing, write_text

RESULTS = Path(__file__).parent / "results"
Threads = Annotated[int | None, typer.Option(help="Of the CPU.", show_default="as torch chooses")]


def command(function: Callable[..., None]) -> typer.Typer:
    """Make a function the command line of a benchmark."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(function)
    return app


def head(title: str, benchmark: str, settings: Settings, note: str = "", arguments: Sequence[str] | None = None) -> str:
    """Return how a report begins: its title, the command that started this process, and the machine.

    Args:
        title: of the report.
        benchmark: name of the file in `benchmarks`.
        settings: of the run.
        note: behind the command.
        arguments: to show in place of those of this process.
    """
    shown = shlex.join(["python", f"benchmarks/{benchmark}.py", *(sys.argv[1:] if arguments is None else arguments)])
    return f"# {title}\n\n`{shown}`{note}\n\n{_describe(settings)}"


def publish_text(target: Path, text: str) -> None:
    """Write a report and print it.

    Raises:
        UserError: the path cannot be written.
    """
    write_text(target, text)
    print(text)


def warn_if_busy(threads: int) -> None:
    """Warn on stderr if the load leaves fewer cores free than the benchmark takes."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load + threads > cores + 0.5:
        log.print(
            Text("Warning:", "bold yellow"),
            f"the load of this machine is {load:.1f} on {cores} cores, and {threads} are measured: stop what else is "
            "running, wait a minute, and measure again.",
            soft_wrap=True,
        )


def significant(value: float, digits: int = 6) -> float:
    """Round to so many significant digits: a file should not show more than what was measured."""
    return float(f"{value:.{digits}g}")


def write_csv(path: Path, rows: Sequence[Any]) -> None:
    """Write instances of one dataclass, a column for each field; there must be one at least.

    Raises:
        UserError: the path cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(rows[0])], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def _describe(settings: Settings) -> str:
    """Return processor, cores, threads, precision, torch, and whether our kernels are in use."""
    parts = [
        f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})",
        f"{os.cpu_count()} cores",
        f"{settings.threads} thread" + "s" * (settings.threads != 1),
        *([torch.cuda.get_device_name()] if settings.device == "cuda" else []),
        settings.dtype,
        f"PyTorch {torch.__version__}",
    ]
    reason = kernels.why_not()
    return f"{', '.join(parts)}. Our kernels: {f'not in use. {reason}' if reason else 'in use.'}"


def _processor() -> str:
    try:
        _, _, name = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("model name")
    except OSError:
        name = ""
    return name.partition("\n")[0].lstrip("\t :") or platform.processor() or platform.machine()
