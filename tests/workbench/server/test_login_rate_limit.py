"""Logins, as the door in front of them sees them: how often an address may be wrong, and for how long it waits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from workbench.server import login_rate_limit as guesses
from workbench.server.limits import in_force
from workbench.server.login_rate_limit import Guesses

RIGHT = "a-long-password"


async def login(request: Request) -> Response:
    await asyncio.sleep(0.01)
    return PlainTextResponse("", 200 if (await request.body()).decode() == RIGHT else 400)


class Server:
    """Logins and a page behind the door; `clock` is the time that it goes by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        routes = [
            *(Route(path, login, methods=["GET", "POST"]) for path in ("/login", "/login/")),
            Route("/page", login, methods=["POST"]),
        ]
        self.door = Guesses(Starlette(routes=routes))
        self.clock = 1000.0
        monkeypatch.setattr(guesses, "monotonic", lambda: self.clock)

    def post(self, passwords: Sequence[str], address: str = "192.0.2.1", path: str = "/login") -> list[int]:
        """What they are answered with, asked for all at once."""

        async def all_at_once() -> list[int]:
            transport = httpx.ASGITransport(self.door, client=(address, 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://page") as http:
                answers = await asyncio.gather(*(http.post(path, content=each) for each in passwords))
            return [each.status_code for each in answers]

        return asyncio.run(all_at_once())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


MOST = in_force().login_attempts


def test_after_some_wrong_passwords_even_the_right_one_has_to_wait(server: Server) -> None:
    for _ in range(MOST):
        assert server.post(["wrong"]) == [400]
    assert server.post([RIGHT]) == [429]
    server.clock += 61
    assert server.post([RIGHT]) == [200]


def test_asking_all_at_once_gains_nothing(server: Server) -> None:
    assert sorted(server.post(["wrong"] * (MOST + 20))) == [400] * MOST + [429] * 20


def test_both_spellings_of_the_route_count_together(server: Server) -> None:
    server.post(["wrong"] * MOST, path="/login/")
    assert server.post([RIGHT]) == [429]


def test_others_do_not_wait(server: Server) -> None:
    server.post(["wrong"] * (MOST + 1))
    assert server.post([RIGHT], address="192.0.2.2") == [200]
    assert server.post(["wrong"], path="/page") == [400]


def test_who_gets_in_begins_anew(server: Server) -> None:
    for _ in range(3):
        assert server.post(["wrong"] * (MOST - 1)) == [400] * (MOST - 1)
        assert server.post([RIGHT]) == [200]


def test_refused_attempts_do_not_prolong_the_wait(server: Server) -> None:
    server.post(["wrong"] * MOST)
    server.clock += 30
    assert server.post([RIGHT]) == [429]
    server.clock += 31
    assert server.post([RIGHT]) == [200]


def test_addresses_are_not_remembered_without_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "_ADDRESSES", 10)
    for number in range(30):
        server.post(["wrong"], address=f"192.0.2.{number}")
    assert len(server.door._tried) == 10
