"""Ways into the server that Gradio opens for other pages stay shut, and uploads leave room on the disk."""

import shutil
from pathlib import Path

from gradio.route_utils import FnIndexInferError
from gradio.utils import get_upload_folder
from starlette.types import ASGIApp, Receive, Scope, Send

from workbench.server.asgi import answer, route
from workbench.server.limits import in_force

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
        path = route(scope)
        if scope["type"] == "http" and path.startswith((*_SHUT, *_ADDRESSES)):
            await answer(send, 404, "Not Found")
            return
        if scope["type"] == "http" and path.rstrip("/") == "upload" and _free_bytes() < in_force().free_bytes:
            await answer(send, 507, "The disk of this server is nearly full: it takes no files until some are deleted.")
            return
        try:
            await self._app(scope, receive, send)
        except (FnIndexInferError, TypeError) as error:  # so far as Gradio looks at it before it answers
            await answer(send, 400, f"This request cannot be understood: {error}")


def _free_bytes() -> int:
    """Of the disk that uploads go to."""
    folder = Path(get_upload_folder())
    return shutil.disk_usage(next(each for each in (folder, *folder.parents) if each.exists())).free
