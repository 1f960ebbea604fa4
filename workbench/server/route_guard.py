"""Close routes that Gradio opens for other pages, and keep uploads from filling the disk."""

import shutil
from pathlib import Path

from gradio.route_utils import FnIndexInferError
from gradio.utils import get_upload_folder
from starlette.types import ASGIApp, Receive, Scope, Send

from workbench.server.limits import in_force

_SHUT = ("proxy=", "process_recording", "vibe-", "undo-vibe-", "stream/", "dev/", "run-history/", "profiling/")
"""Fetching from elsewhere, video decoding, editing of code, streams, reloading, records of runs, measurements."""
_ADDRESSES = ("file=http:", "file=https:", "file=//")
"""Addresses of files elsewhere, to which Gradio would redirect."""


class RouteGuard:
    """Answer "404 Not Found" there and "507" to uploads on a full disk; hand everything else on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        path = route(scope)
        if scope["type"] == "http" and path.startswith((*_SHUT, *_ADDRESSES)):
            await answer(send, 404, "Not Found")
            return
        if scope["type"] == "http" and path.rstrip("/") == "upload" and _free_bytes() < in_force().free_bytes:
            await answer(send, 507, "The disk of this server is nearly full: it takes no files until some are deleted.")
            return
        try:
            await self._app(scope, receive, send)
        except FnIndexInferError as error:  # raised before Gradio answers
            await answer(send, 400, f"This request cannot be understood: {error}")


def _free_bytes() -> int:
    """Return the free bytes of the disk that uploads go to."""
    folder = Path(get_upload_folder())
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free


def route(scope: Scope) -> str:
    """Return the path of a request without the prefix of Gradio's API and slashes in front, in lower case."""
    path: str = scope.get("path", "")
    return path.lstrip("/").removeprefix("gradio_api/").lstrip("/").lower()


async def answer(send: Send, status: int, text: str) -> None:
    """Send a response of plain text."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
