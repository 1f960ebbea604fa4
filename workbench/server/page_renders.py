"""Pages are made one after the other."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.server.asgi import route

_LARGE = ("", "config", "info")
"""Routes whose answer Gradio makes anew each time, from a copy of half a megabyte of settings."""


class Turns:
    """Hands everything on, and large pages one at a time: in threads beside each other none of them is made sooner, and
    Python's memory is left in pieces, 120 MB after 40 at once.

    A turn ends where the answer begins, so that nobody waits for a visitor who reads slowly.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._turn = asyncio.Semaphore(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or route(scope).rstrip("/") not in _LARGE:
            await self._app(scope, receive, send)
            return
        await self._turn.acquire()
        mine = True

        def give_back() -> None:
            nonlocal mine
            if mine:
                mine = False
                self._turn.release()

        async def sending(message: Message) -> None:
            give_back()
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            give_back()
