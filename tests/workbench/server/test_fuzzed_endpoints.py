"""Values of every kind to every event of the page, those that only the page needs too: answers or documented refusals.

`make fuzz` does so for FUZZ_MINUTES, with new values every time, and prints how many there were.
"""

import json
import os
import random
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.workbench.conftest import Server

MINUTES = float(os.environ.get("FUZZ_MINUTES", "0"))
QUICK = 120
"""Requests where no minutes are given."""
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 4, 16, 2**31, -(2**63), 10**30, 0.5, -0.0, 1e308, float("nan"), float("inf"), "",
    "auto", "whole", "16", "7", "-1", "1e9", "own-tiny", "bicubic", "bicubic-x4", "promptsr-star-x2", "../own-tiny",
    "/etc/passwd", "http://192.0.2.1/x", "shrink", "enlarge", "hr", "encoder", "PNG", "mean", "x" * 2000, "\0", "<b>",
    "\ud800", [], {}, [None], ["own-tiny"], ["own-tiny", "bicubic-x4"], [["a", 1]], {"path": "/etc/passwd"},
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, {"url": "http://192.0.2.1/x"}, {"path": None},
    {"path": "", "meta": {"_type": "gradio.FileData"}}, [[[[[]]]]], {"value": {"path": "../../x"}}, [1, 2, 3],
]  # fmt: skip
EVENTS: list[Any] = [None, {}, {"index": [3, 4]}, {"index": 0}, {"index": "x"}, {"index": None}, {"point": 2}, [1], "x"]
"""Data of a click event, valid and invalid."""


class Visitor:
    """Client without a browser."""

    def __init__(self, server: Server, photo: Path, seed: int) -> None:
        self.client = httpx.Client(base_url=server.url, timeout=120)
        config = self.client.get("/config").json()
        self.functions = [
            (each["id"], len(each["inputs"]), each["api_name"] or each["id"])
            for each in config["dependencies"]
            if each["backend_fn"]
        ]
        sent = self.client.post("/gradio_api/upload", files={"files": ("photo.png", photo.read_bytes())}).json()[0]
        self.file = {"path": sent, "meta": {"_type": "gradio.FileData"}}
        self.random = random.Random(seed)

    def question(self) -> tuple[dict[str, Any], str]:
        """A request, and the name of what it asks."""
        number, inputs, name = self.random.choice(self.functions)
        count = inputs if self.random.random() < 0.95 else self.random.randrange(inputs + 3)
        data = [self.random.choice([self.file, self.random.choice(ODD), self.random.choice(ODD)]) for _ in range(count)]
        return body(number, data, self.random.choice(EVENTS)), str(name)

    def outcome(self, request: dict[str, Any]) -> str:
        """Return "answered" or "refused", or a description of a forbidden outcome."""
        content = json.dumps(request)  # with NaN, which is no JSON
        headers = {"Content-Type": "application/json"}
        joined = self.client.post("/gradio_api/queue/join", content=content, headers=headers)
        if 400 <= joined.status_code < 500:
            return "refused"
        if joined.status_code != 200:
            return f"status {joined.status_code}"
        with self.client.stream("GET", f"/gradio_api/queue/data?session_hash={request['session_hash']}") as stream:
            for line in stream.iter_lines():
                if not line.startswith("data:"):
                    continue
                message = json.loads(line.removeprefix("data:"))
                if message["msg"] == "process_completed":
                    if message["success"]:
                        return "answered"
                    error = message["output"].get("error")
                    return "refused" if error or message["output"].get("visible") is False else "crashed"
                if message["msg"] == "unexpected_error":
                    return "crashed"
        return "no answer"


def body(number: int, data: list[Any], event: Any = None) -> dict[str, Any]:
    """A request of a session of its own."""
    return {"fn_index": number, "data": data, "session_hash": uuid.uuid4().hex, "event_data": event}


def test_nothing_at_all_is_answered_or_refused_everywhere(server: Server, plain_photo: Path) -> None:
    """Sent to every event, for each of its inputs."""
    visitor = Visitor(server, plain_photo, 0)
    outcomes = {name: visitor.outcome(body(number, [None] * inputs)) for number, inputs, name in visitor.functions}
    assert set(outcomes.values()) == {"answered", "refused"}
    assert outcomes["load_example"] == "refused"


def test_only_documented_refusals_come_back(server: Server, plain_photo: Path) -> None:
    seed = random.randrange(2**32) if MINUTES else 0
    visitor = Visitor(server, plain_photo, seed)
    found: Counter[str] = Counter()
    wrong: dict[str, Any] = {}
    end = time.monotonic() + 60 * MINUTES
    while sum(found.values()) < QUICK or time.monotonic() < end:
        request, name = visitor.question()
        outcome = visitor.outcome(request)
        found[outcome] += 1
        if outcome not in ("answered", "refused"):
            wrong.setdefault(f"{name}: {outcome}", {each: request[each] for each in ("data", "event_data")})
    print(f"\nendpoints: {sum(found.values())} requests with seed {seed}: {dict(found)}")
    assert not wrong
    assert min(found["answered"], found["refused"]) > 0.02 * sum(found.values())


def test_malformed_requests_are_refused_and_the_server_goes_on(server: Server) -> None:
    """On every route that takes a body. Only on one of them Gradio itself fails, with status 500."""
    bodies = [
        *(b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 5000, b'{"data": 3}', b'{"data": []}'),
        *(b'{"fn_index": %s, "data": []}' % index for index in (b"99999", b"-1", b'"x"', b"null")),
    ]
    routes = ("queue/join", "call/upscale", "call/nothing", "call/v2/upscale", "cancel", "upload", "component_server")
    each_its_own = httpx.Limits(max_keepalive_connections=0)  # the server closes the connection on an error of Gradio's
    with httpx.Client(base_url=server.url, timeout=60, limits=each_its_own) as client:

        def outcome(route: str, body: bytes) -> int:
            try:
                answer = client.post(f"/gradio_api/{route}", content=body, headers={"Content-Type": "application/json"})
            except httpx.TransportError:
                return 500
            return answer.status_code

        outcomes = {(route, body): outcome(route, body) for route in routes for body in bodies}
        assert client.get("/config").status_code == 200
    wrong = {key: code for key, code in outcomes.items() if code >= 500}
    assert {route for route, _ in wrong} <= {"call/v2/upscale"} and set(wrong.values()) <= {500}
