"""What the server says itself, before Gradio is asked."""

from starlette.types import Send


async def answer(send: Send, status: int, text: str) -> None:
    """A response of plain text."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
