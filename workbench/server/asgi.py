"""What stands before Gradio shares: which route a request is for, and an answer of its own."""

from starlette.types import Scope, Send


def route(scope: Scope) -> str:
    """The path of a request without the prefix of Gradio's API and slashes in front, in lower case."""
    path: str = scope.get("path", "")
    return path.lstrip("/").removeprefix("gradio_api/").lstrip("/").lower()


async def answer(send: Send, status: int, text: str) -> None:
    """A response of plain text."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
