"""A window of a browser with the workbench in it, by plain HTTP: what it sends, waits for, and takes back."""

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from gradio_client.utils import apply_diff  # type: ignore[import-untyped]

API = "/gradio_api"
TIMEOUT = httpx.Timeout(30, read=600)


@dataclass(frozen=True)
class Answer:
    """What became of one request; times in seconds of the monotonic clock."""

    asked: float
    ended: float
    event: str = ""
    started: float | None = None
    """When its turn came; None if it never did, or needed none."""
    data: list[Any] = field(default_factory=list)
    error: str | None = None
    """The message that it was refused with; empty where there was none."""
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
        """Fetches the page and its configuration."""
        for path in ("/", "/config"):
            reply = await http.get(path)
            reply.raise_for_status()
        dependencies = reply.json()["dependencies"]
        window = cls(http, {each["api_name"]: each["id"] for each in dependencies})
        window.functions |= {
            "load": next(each["id"] for each in dependencies if any(event == "load" for _, event in each["targets"]))
        }
        return window

    async def send(self, file: Path) -> dict[str, Any]:
        """Uploads a file; what stands for it in requests."""
        reply = await self.http.post(f"{API}/upload", files={"files": (file.name, file.read_bytes())})
        reply.raise_for_status()
        [path] = reply.json()
        return sent(path)

    async def fetch(self, file: dict[str, Any]) -> bytes:
        """Downloads a file that an answer names."""
        reply = await self.http.get(f"{API}/file={file['path']}")
        reply.raise_for_status()
        return reply.content

    async def ask(self, name: str, values: list[Any], cut: Cut | None = None) -> Answer:
        """Asks as the page does, by way of the queue.

        Args:
            name: of the endpoint, without a slash.
            values: of its inputs, those of the session's state as None.
            cut: when to break it off.
        """
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

    async def call(self, name: str, values: list[Any]) -> Answer:
        """Asks as a program does, without a session; `values` leave out states."""
        asked = time.monotonic()
        joined = await self.http.post(f"{API}/call/{name}", json={"data": values})
        if joined.status_code != 200:
            return Answer(asked, time.monotonic(), error=f"HTTP {joined.status_code}: {joined.text[:200]}")
        event = joined.json()["event_id"]
        said = await self.http.get(f"{API}/call/{name}/{event}")
        *_, last = (block for block in said.text.split("\n\n") if block.startswith(("event: complete", "event: error")))
        kind, _, text = last.partition("\ndata: ")
        found = json.loads(text)
        if kind.endswith("error"):
            return Answer(asked, time.monotonic(), event, error=(found or {}).get("error") or "")
        return Answer(asked, time.monotonic(), event, data=found)


def sent(path: str) -> dict[str, Any]:
    """What stands for a file in requests."""
    return {"path": path, "meta": {"_type": "gradio.FileData"}}
