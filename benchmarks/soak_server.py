"""The workbench in a process of its own that keeps a record of every pass through a network.

    python benchmarks/soak_server.py PORT RECORD [--mcp]    # `serving` starts it

A line of RECORD is a pass through a PromptSR network that came to an end: the event of Gradio's that asked for it, and
when it began and ended, in seconds of the clock that all processes of a machine share. At the signal SIGUSR1 it
collects its garbage.
"""

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from promptsr.support.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
_PATIENCE = 90
"""Seconds until the page must be there."""


@dataclass(frozen=True)
class Pass:
    """One forward pass."""

    event: str
    begun: float
    ended: float


@dataclass(frozen=True)
class Workbench:
    """A workbench that serves this machine only."""

    url: str
    process: int
    folder: Path
    """Holds the record, the log and Gradio's cache."""

    def passes(self) -> list[Pass]:
        """Those that came to an end so far, in the order of their ends."""
        return read_passes(self.folder / "passes.txt")

    def resident(self) -> float:
        """10^6 bytes of the process that are in memory now."""
        status = Path(f"/proc/{self.process}/status").read_text()
        return 1024 * int(status.partition("VmRSS:")[2].split()[0]) / 1e6

    def collect(self) -> None:
        """Has the process collect its garbage now, which it otherwise does at some time."""
        os.kill(self.process, signal.SIGUSR1)
        time.sleep(2)

    def open_files(self) -> int:
        """Files and connections that the process holds open."""
        return len(os.listdir(f"/proc/{self.process}/fd"))

    def cached(self) -> tuple[int, float]:
        """Files in Gradio's cache, and how many 10^6 bytes they take."""
        sizes = [path.stat().st_size for path in (self.folder / "cache").rglob("*") if path.is_file()]
        return len(sizes), sum(sizes) / 1e6

    @property
    def log(self) -> str:
        """What the process has printed."""
        return (self.folder / "log.txt").read_text()


def read_passes(record: Path) -> list[Pass]:
    """What `record_passes` wrote."""
    lines = (line.split() for line in record.read_text().splitlines())
    return [Pass(event, float(begun), float(ended)) for event, begun, ended in lines]


def record_passes(record: Path) -> None:
    """From now on every pass through a PromptSR network leaves a line."""
    from gradio.context import LocalContext

    from promptsr.model.network import PromptSR

    call, lock = PromptSR.__call__, threading.Lock()

    def recorded(self: PromptSR, *args: Any, **options: Any) -> Any:
        begun = time.monotonic()
        try:
            return call(self, *args, **options)
        finally:
            with lock, record.open("a") as file:
                file.write(f"{LocalContext.event_id.get(None)} {begun} {time.monotonic()}\n")

    setattr(PromptSR, "__call__", recorded)  # noqa: B010 (mypy refuses the assignment)


@contextmanager
def serving(folder: Path) -> Iterator[Workbench]:
    """A workbench as `promptsr app` starts it, for as long as the block runs.

    Raises:
        UserError: it did not start.
    """
    record = folder / "passes.txt"
    record.touch()
    port = free_port()
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, __file__, str(port), record],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
                "GRADIO_TEMP_DIR": str(folder / "cache"),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        if not answers(url, process):
            raise UserError(f"The workbench did not start:\n{(folder / 'log.txt').read_text()}")
        yield Workbench(url, process.pid, folder)
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Waits until a page is there; False if its process ended, or took too long."""
    patience = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < patience:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


if __name__ == "__main__":
    from workbench.page import launch
    from workbench.server.device import give_back

    def collect(*_: object) -> None:
        gc.collect()
        give_back()

    signal.signal(signal.SIGUSR1, collect)
    record_passes(Path(sys.argv[2]))
    launch(port=int(sys.argv[1]), open_browser=False, mcp="--mcp" in sys.argv)
