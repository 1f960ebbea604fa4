"""Who waits for whom before a page is made."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from workbench.server.page_renders import Turns


class Server:
    """Behind the turns: every answer takes a moment, and it is counted how many are made at once."""

    def __init__(self) -> None:
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.door = Turns(self.app)
        self.slow = asyncio.Event()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.now[path] += 1
        self.most[path] = max(self.most[path], self.now[path])
        await asyncio.sleep(0.01)
        self.now[path] -= 1
        if scope["query_string"] == b"fails":
            raise RuntimeError("fails")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["query_string"] == b"slow":
            await self.slow.wait()
        await send({"type": "http.response.body", "body": b""})

    async def get(self, path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.door), base_url="http://page") as http:
            return (await http.get(path)).status_code


@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/info", "/gradio_api/info/"])
def test_pages_are_made_one_at_a_time(path: str) -> None:
    async def all_at_once() -> Counter[str]:
        server = Server()
        assert await asyncio.gather(*(server.get(path) for _ in range(5))) == [200] * 5
        return server.most

    assert asyncio.run(all_at_once()) == {path: 1}


@pytest.mark.parametrize("path", ["/theme.css", "/gradio_api/queue/data", "/gradio_api/upload"])
def test_nothing_else_waits(path: str) -> None:
    async def all_at_once() -> Counter[str]:
        server = Server()
        await asyncio.gather(*(server.get(path) for _ in range(5)))
        return server.most

    assert asyncio.run(all_at_once()) == {path: 5}


def test_who_reads_slowly_keeps_nobody_waiting() -> None:
    async def behind() -> None:
        server = Server()
        reading = asyncio.create_task(server.get("/?slow"))
        await asyncio.sleep(0.05)
        assert await asyncio.wait_for(server.get("/"), 5) == 200 and not reading.done()
        server.slow.set()
        assert await reading == 200

    asyncio.run(behind())


def test_a_page_that_fails_or_is_not_waited_for_gives_its_turn_back() -> None:
    async def after() -> None:
        server = Server()
        with pytest.raises(RuntimeError, match="fails"):
            await server.get("/?fails")
        for _ in range(3):  # one that is being made, and two that wait
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(asyncio.gather(*(server.get("/") for _ in range(3))), 0.005)
        assert await asyncio.wait_for(server.get("/"), 5) == 200

    asyncio.run(after())
