"""Passwords are not for guessing: so many attempts within a minute from one address, and then it has to wait."""

from collections import OrderedDict, deque
from time import monotonic

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workbench.server.asgi import answer
from workbench.server.limits import in_force

_SECONDS = 60
_ADDRESSES = 10_000
"""Remembered at most, those that tried last."""


class Guesses:
    """Hands on what comes; a login is refused with "429 Too Many Requests" where too many have failed lately.

    An address is what uvicorn takes for it: that of the visitor also behind a proxy on this machine.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._tried: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"].rstrip("/") != "/login":
            await self._app(scope, receive, send)
            return
        address = (scope.get("client") or ("", 0))[0]
        tried = self._lately(address)
        if len(tried) >= in_force().login_attempts:
            await answer(send, 429, "Too many attempts to log in: wait a minute.")
            return
        # Counted before the answer is known, so that asking many times at once gains nothing.
        tried.append(monotonic())

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                tried.clear()
            await send(message)

        await self._app(scope, receive, watched)

    def _lately(self, address: str) -> deque[float]:
        """When there was an attempt from an address within the last minute."""
        tried = self._tried.setdefault(address, deque())
        self._tried.move_to_end(address)
        while len(self._tried) > _ADDRESSES:
            self._tried.popitem(last=False)
        while tried and tried[0] < monotonic() - _SECONDS:
            tried.popleft()
        return tried
