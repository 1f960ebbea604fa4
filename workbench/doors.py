"""Ways into the server that Gradio opens for other pages than this one: they stay shut."""

from gradio.route_utils import FnIndexInferError
from starlette.types import ASGIApp, Receive, Scope, Send

_SHUT = ("proxy=", "process_recording", "vibe-", "undo-vibe-", "stream/", "dev/", "run-history/", "profiling/")
"""Fetching from elsewhere, video decoding, editing of code, streams, reloading, records of runs, measurements."""
_ADDRESSES = ("file=http:", "file=https:", "file=//")
"""Of files elsewhere, to which the server would send whoever asks."""


class Doors:
    """Answers "404 Not Found" there, and hands everything else on; what is no request is answered as such."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        path = scope.get("path", "").lstrip("/").removeprefix("gradio_api/").lstrip("/").lower()
        if scope["type"] == "http" and path.startswith((*_SHUT, *_ADDRESSES)):
            await _answer(send, 404, "Not Found")
            return
        try:
            await self._app(scope, receive, send)
        except (FnIndexInferError, TypeError) as error:  # so far as Gradio looks at it before it answers
            await _answer(send, 400, f"This request cannot be understood: {error}")


async def _answer(send: Send, status: int, text: str) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
