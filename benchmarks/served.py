"""A workbench in a process of its own that records every pass through a network, and sessions with it by plain HTTP.

    python benchmarks/served.py RECORD [--mcp] PORT    # `serving` starts it

A line of RECORD is a pass through a PromptSR network that came to an end: the event of Gradio's that asked for it, and
when it began and ended, in seconds of the clock that all processes of a machine share. At the signal SIGUSR1 it
collects its garbage.
"""

import gc
import json
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from promptsr.support.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
API = "/gradio_api"
TIMEOUT = httpx.Timeout(30, read=600)
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
        """Return those that have ended so far, in the order of their ends."""
        return read_passes(self.folder / "passes.txt")

    def resident(self) -> float:
        """Return the 10^6 bytes of the process that are in memory now."""
        status = Path(f"/proc/{self.process}/status").read_text(encoding="utf-8")
        return 1024 * int(status.partition("VmRSS:")[2].split()[0]) / 1e6

    def collect(self) -> None:
        """Make the process collect its garbage now."""
        os.kill(self.process, signal.SIGUSR1)
        time.sleep(2)

    @property
    def log(self) -> str:
        """Output of the process."""
        return (self.folder / "log.txt").read_text(encoding="utf-8")


def read_passes(record: Path) -> list[Pass]:
    """Read what `record_passes` wrote."""
    lines = (line.split() for line in record.read_text(encoding="utf-8").splitlines())
    return [Pass(event, float(begun), float(ended)) for event, begun, ended in lines]


def record_passes(record: Path) -> None:
    """Make every pass through a PromptSR network leave a line from now on."""
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
def serving(folder: Path, *command: str | Path, **environment: str) -> Iterator[Workbench]:
    """Within this context a workbench runs as `promptsr app` starts it.

    Args:
        folder: of the record, the log and Gradio's cache.
        command: starts another workbench; the port is added to it. `environment` is added to that of this process.

    Raises:
        UserError: it did not start.
    """
    record = folder / "passes.txt"
    record.touch()
    port = free_port()
    with (folder / "log.txt").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*(command or (sys.executable, __file__, record)), str(port)],
            cwd=ROOT,
            env={
                **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
                "GRADIO_TEMP_DIR": str(folder / "cache"),
                **environment,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        if not answers(url, process):
            raise UserError(f"The workbench did not start:\n{(folder / 'log.txt').read_text(encoding='utf-8')}")
        yield Workbench(url, process.pid, folder)
    finally:
        process.terminate()
        process.wait(timeout=20)


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until a page is there; return False if its process ended, or took too long."""
    patience = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < patience:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return True
        except OSError:
            time.sleep(0.2)
    return False


def overlapping(passes: Sequence[Pass]) -> int:
    """Count the passes that began before one of another event had ended."""
    count, last, ended = 0, "", -math.inf
    for each in sorted(passes, key=lambda each: each.begun):
        count += each.begun < ended and each.event != last
        if each.ended > ended:
            last, ended = each.event, each.ended
    return count


@dataclass(frozen=True)
class Answer:
    """Outcome of one request; times in seconds of the monotonic clock."""

    asked: float
    ended: float
    event: str = ""
    started: float | None = None
    """When its turn came; None if it never did, or did not queue."""
    data: list[Any] = field(default_factory=list)
    error: str | None = None
    """The message of a refusal, which may be empty."""
    cut: str | None = None
    """How it was broken off, if it was: "cancel" or "drop"."""
    cut_at: float | None = None
    """When."""


@dataclass(frozen=True)
class Cut:
    """When a request is broken off."""

    how: str
    """"cancel", as the page's button does, or "drop": the connection ends."""
    when: Callable[[str], bool]
    """Takes each message about the request; True for the one after which it is broken off."""


class Window:
    """One session of Gradio's."""

    def __init__(self, http: httpx.AsyncClient, functions: dict[str, int]) -> None:
        self.http = http
        self.session = secrets.token_hex(6)
        self.functions = functions

    @classmethod
    async def open(cls, http: httpx.AsyncClient) -> "Window":
        """Fetch the page and its configuration."""
        for path in ("/", "/config"):
            reply = await http.get(path)
            reply.raise_for_status()
        dependencies = reply.json()["dependencies"]
        return cls(http, {each["api_name"]: each["id"] for each in dependencies})

    async def send(self, file: Path) -> dict[str, Any]:
        """Upload a file; return what stands for it in requests."""
        reply = await self.http.post(f"{API}/upload", files={"files": (file.name, file.read_bytes())})
        reply.raise_for_status()
        [path] = reply.json()
        return {"path": path, "meta": {"_type": "gradio.FileData"}}

    async def fetch(self, file: dict[str, Any]) -> bytes:
        """Download a file that an answer names."""
        reply = await self.http.get(f"{API}/file={file['path']}")
        reply.raise_for_status()
        return reply.content

    async def ask(self, name: str, values: list[Any], cut: Cut | None = None) -> Answer:
        """Ask as the page does, by way of the queue.

        Args:
            name: of the endpoint, without a slash.
            values: of its inputs, those of the session's state as None.
            cut: when to break it off.
        """
        from gradio_client.utils import apply_diff  # type: ignore[import-untyped]  # asks others unless told not to

        function, asked = self.functions[name], time.monotonic()
        body = {"data": values, "fn_index": function, "session_hash": self.session}
        joined = await self.http.post(f"{API}/queue/join", json=body)
        if joined.status_code != 200:
            return Answer(asked, time.monotonic(), error=f"HTTP {joined.status_code}: {joined.text[:200]}")
        event = joined.json()["event_id"]
        started, broken, cut_at = None, None, None
        data: list[Any] = []
        where = {"session_hash": self.session}
        async with self.http.stream("GET", f"{API}/queue/data", params=where) as stream:
            async for line in stream.aiter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line[5:])
                kind, output = message["msg"], message.get("output") or {}
                now = time.monotonic()
                if kind == "process_starts":
                    started = now
                elif kind == "process_generating" and message["success"]:
                    news = output["data"]
                    data = list(map(apply_diff, data, news)) if data else news
                elif kind == "process_completed":
                    error = None if message["success"] else (output.get("error") or "")
                    data = data if broken or not output.get("data") or output.get("is_generating") else output["data"]
                    return Answer(asked, now, event, started, data, error, broken, cut_at)
                elif kind == "unexpected_error":
                    return Answer(asked, now, event, started, error=f"unexpected: {message['message']}")
                if cut and not broken and cut.when(line):
                    broken, cut_at = cut.how, time.monotonic()
                    if broken == "drop":
                        break
                    await self.http.post(f"{API}/cancel", json={**where, "fn_index": function, "event_id": event})
        error = None if broken else "The answer broke off."
        return Answer(asked, time.monotonic(), event, started, data, error, broken, cut_at)


if __name__ == "__main__":
    from promptsr.zoo.memory import return_freed_memory
    from workbench.page import launch

    def collect(*_: object) -> None:
        gc.collect()
        return_freed_memory()

    signal.signal(signal.SIGUSR1, collect)
    record_passes(Path(sys.argv[1]))
    launch(port=int(sys.argv[-1]), open_browser=False, mcp="--mcp" in sys.argv)
