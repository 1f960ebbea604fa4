"""The machine that a benchmark runs on, whether it is idle enough to measure, and the command that was given."""

import os
import platform
import shlex
import sys
from pathlib import Path

import torch

from benchmarks.passes import Settings
from promptsr import kernels
from promptsr.cli.console import log


def describe(settings: Settings) -> str:
    """One paragraph for the report: processor, cores, threads, precision, torch, and whether our kernels are in use."""
    parts = [
        f"{_processor()} ({torch.backends.cpu.get_cpu_capability()})",
        f"{os.cpu_count()} cores",
        f"{settings.threads} threads",
        *([torch.cuda.get_device_name()] if settings.device == "cuda" else []),
        settings.dtype,
        f"PyTorch {torch.__version__}",
    ]
    reason = kernels.why_not()
    return f"{', '.join(parts)}. Our kernels: {f'not in use. {reason}' if reason else 'in use.'}"


def started_as(benchmark: str) -> str:
    """The command that started this process, for the report."""
    return shlex.join(["python", f"benchmarks/{benchmark}.py", *sys.argv[1:]])


def warn_if_busy(threads: int) -> None:
    """Warns on stderr if the load leaves fewer cores free than the benchmark takes."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load + threads > cores + 0.5:
        log.print(
            f"[bold yellow]Warning:[/] the load of this machine is {load:.1f} on {cores} cores, and {threads} are "
            "measured: stop what else is running, wait a minute, and measure again.",
            soft_wrap=True,
            highlight=False,
        )


def _processor() -> str:
    try:
        names = [
            line
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        return names[0].partition(":")[2].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
