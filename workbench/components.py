"""What every tab builds with: inputs that reach the server as they are, errors as toasts, one queue for networks."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import Dependency

from promptsr.errors import UserError
from promptsr.imaging import decode, encode
from promptsr.imaging.decode import MAX_PIXELS
from workbench.results import new_folder
from workbench.samples import sample_paths

HEAVY: dict[str, Any] = {"concurrency_id": "network", "concurrency_limit": 1}
"""Arguments of every event that runs a network: they wait for each other."""
PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
"""Arguments of events that only the page needs."""

Handler = Callable[..., Any]


def toast(handler: Handler) -> Handler:
    """A handler (function or generator) whose `UserError` becomes a toast with that message."""

    @contextmanager
    def toasting() -> Iterator[None]:
        try:
            yield
        except UserError as error:
            raise gr.Error(str(error), print_exception=False) from error

    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def generator(*args: Any) -> Iterator[Any]:
            with toasting():
                yield from handler(*args)

        return generator

    @wraps(handler)
    def function(*args: Any) -> Any:
        with toasting():
            return handler(*args)

    return function


# Gradio writes a stub file beside the source of every subclass of a component, so single methods are replaced instead.
def photo(max_pixels: int = MAX_PIXELS, **options: Any) -> tuple[gr.Image, Dependency]:
    """An image input whose handlers get the path of the very file that was sent: nothing is decoded on the way.

    Args:
        max_pixels: larger images are refused as soon as they come.
        options: more arguments of `gr.Image`.

    Returns:
        The input, and the event that a new image has come and can be read; its `success` is where to go on from.
    """
    image = gr.Image(
        type="filepath", image_mode=None, sources=["upload", "clipboard"], buttons=["fullscreen"], **options
    )
    move = image.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if str(path).startswith(("http:", "https:")):
            raise gr.Error("Send the image itself, not its address.", print_exception=False)
        return await move(path)

    def readable(path: str | None) -> str | None:
        return path and _displayable(Path(path), max_pixels)

    setattr(image, "async_move_resource_to_block_cache", move_file)  # noqa: B010 (mypy refuses the assignment)
    setattr(image, "preprocess", lambda payload: payload and payload.path)  # noqa: B010
    sent = image.upload(toast(readable), image, image, **PRIVATE)
    sent.failure(lambda: None, None, image, **PRIVATE)
    return image, sent


def _displayable(path: Path, max_pixels: int) -> str:
    """The path of an image that browsers show: TIFF becomes PNG, which holds all that we read from TIFF."""
    picture = decode(path, max_pixels=max_pixels)
    if path.suffix.lower() not in (".tif", ".tiff"):
        return str(path)
    copy = new_folder() / f"{path.stem}.png"
    encode(picture, copy)
    return str(copy)


def choice(**options: Any) -> gr.Dropdown:
    """A dropdown whose handlers check the value themselves, and say what is wrong with it."""
    dropdown = gr.Dropdown(**options)
    setattr(dropdown, "preprocess", lambda payload: payload)  # noqa: B010
    return dropdown


def samples(image: gr.Image, longest: int) -> gr.helpers.Examples:
    """A row of photographs to try things on, of at most `longest` pixels a side."""
    return gr.Examples(
        [[str(path)] for path in sample_paths(longest)],
        image,
        label="Or try one of these",
        cache_examples=False,
        api_visibility="private",
    )


def point(event: gr.SelectData) -> tuple[int, int]:
    """The pixel of an image that was clicked on, as x and y: what `.select` is to fill into two number fields.

    The handler that uses them takes the numbers and not the event, so that it works without a browser too.
    """
    x, y = event.index
    return x, y
