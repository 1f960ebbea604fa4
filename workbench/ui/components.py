"""Components of every tab: inputs that reach the server unchanged, errors as toasts, one queue for networks."""

import inspect
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.context import Context, LocalContext
from gradio.events import Dependency

from analysis.common.suggestions import KINDS
from promptsr.support.errors import UserError
from workbench.server.arguments import Text, validated
from workbench.server.gradio_methods import replace_method
from workbench.server.limits import timely
from workbench.server.queueing import NETWORK
from workbench.sessions.uploads import about_frames, displayable
from workbench.ui.samples import sample_paths
from workbench.ui.status import idle

HEAVY: dict[str, Any] = {"concurrency_id": NETWORK, "concurrency_limit": 1}
"""Arguments of every event that runs a network: they wait for each other."""
SILENT: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": []}
"""Arguments of events without Gradio's progress bars. It hides them, but otherwise still writes every state of every
event to every component that any event has ever changed: half of what a browser did while a tab opened."""
RUN: dict[str, Any] = {**HEAVY, "trigger_mode": "multiple", **SILENT}
"""Arguments of those that a button starts. By default Gradio ignores a press while it still holds the last run, which
it does for an instant after that has said that it is over."""
LIGHT: dict[str, Any] = {**SILENT, "trigger_mode": "always_last"}
"""Arguments of events that take an instant. By default Gradio ignores one that comes while the last is being answered;
so it is answered afterwards, with the inputs of then."""
PRIVATE: dict[str, Any] = {"api_visibility": "private", **LIGHT}
"""Arguments of events that only the page needs."""
AGAIN: dict[str, Any] = {**PRIVATE, "show_progress": "minimal", "show_progress_on": None, **HEAVY}
"""Arguments of those that run a network anew when an input has changed; their outputs fade until it is done."""
CLICK: dict[str, Any] = {**PRIVATE, "trigger_mode": "multiple"}
"""Arguments of those that say where the click was: afterwards, Gradio would repeat the place of the last one."""

PAGE, TOOL = "page", "tool"
"""Kinds of handlers: what only a page with its state can use, and what assistants can use too."""

Handler = Callable[..., Any]
Value = TypeVar("Value", int, str)


def toast(handler: Handler, kind: str = PAGE) -> Handler:
    """Make the `UserError` of a handler (function or generator) a toast with its message.

    Its arguments are checked against its signature, and a generator is stopped when its time is over. Nothing else is
    kept of an error: Gradio holds on to it for a while, and its traceback would hold files and images.
    """
    checked = validated(handler)
    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def generator(*args: Any) -> Iterator[Any]:
            try:
                yield from timely(checked(*args))
                return
            except (UserError, OSError) as error:
                message = _message(error)
            raise gr.Error(message, print_exception=False)

        wrapped: Handler = generator
    else:

        @wraps(handler)
        def function(*args: Any) -> Any:
            try:
                return checked(*args)
            except (UserError, OSError) as error:
                message = _message(error)
            raise gr.Error(message, print_exception=False)

        wrapped = function
    setattr(wrapped, "_mcp_type", kind)  # noqa: B010 (Gradio's mark, as its gr.mcp.tool() sets it)
    return wrapped


_GOING: dict[str, threading.Event] = {}
"""Runs that go on, by Gradio's event; set for those that were stopped."""


def run(handler: Handler, news: gr.HTML) -> Handler:
    """As `toast`, for a generator that can be stopped and whose last output is the status `news`.

    All that `news` says of a run comes from the run itself, its end too, and so in its turn. Gradio's own `cancels` and
    `failure` tell of an end when the browser hears of it, which may be in the middle of the next run or after it.
    """
    checked = toast(handler)

    @wraps(checked)
    def generator(*args: Any) -> Iterator[Any]:
        key = LocalContext.event_id.get(None) or ""
        stop = _GOING[key] = threading.Event()
        try:
            with closing(checked(*args)) as steps:
                for step in steps:
                    yield step
                    if stop.is_set() and "status running" in step[-1]:  # a result is kept
                        raise nothing()
        except gr.Error:
            yield {news: idle("Stopped.")}
            raise
        finally:
            _GOING.pop(key, None)

    return generator


def stoppable(cancel: gr.Button, news: gr.HTML, *runs: Dependency) -> None:
    """Let a button stop the `run` that `news` shows, as soon as the step that it is at is done.

    Args:
        cancel: the button.
        news: status of the tab.
        runs: events that start one.
    """

    def stop(key: Text | None) -> None:
        if key in _GOING:
            _GOING[key].set()

    saying = "html => html.replace(/<span>.*?<.span>/s, '<span>Stopping after this step</span>')"
    cancel.click(None, news, news, js=saying, api_visibility="private")
    for each in runs:
        each.failure(gr.skip, None, news, **PRIVATE)  # takes away Gradio's own word for an error
    cancel.click(toast(stop), news, None, js="html => html.match(/data-run=.(\\w+)/)?.[1] ?? null", **PRIVATE)


def _message(error: UserError | OSError) -> str:
    if isinstance(error, UserError):
        return escape(str(error), quote=False)  # the page takes it for HTML, and names may be markup
    logging.getLogger(__name__).error("A handler could not read or write its files", exc_info=error)
    return f"The server could not read or write its files ({error.strerror or error}): try again later."


def nothing() -> gr.Error:
    """Return the error for a handler that has nothing to do. (A state that is skipped counts as changed to Gradio.)"""
    return gr.Error(visible=False, print_exception=False)


def on_choice(dropdown: gr.Dropdown, handler: Handler, inputs: Any, outputs: Any, **options: Any) -> Dependency:
    """Call a handler when a person has chosen another value; `input` also comes whenever the list is left.

    Args:
        dropdown: of one choice, the first of the inputs.
        handler: as `toast` returns it, a function.
        inputs: of the handler.
        outputs: likewise.
        options: more arguments of the event.
    """

    @wraps(handler)
    def function(value: Any, *values: Any) -> Any:
        if value is None:
            raise nothing()
        return handler(value, *values)

    js = f"(value, ...values) => [window.isChosen('{dropdown.elem_id}') ? value : null, ...values]"
    return dropdown.input(function, inputs, outputs, js=js, **{**CLICK, **options})


# Gradio writes a stub file beside the source of every subclass of a component, so single methods are replaced instead.
def photo(**options: Any) -> tuple[gr.Image, Dependency]:
    """Return an image input whose handlers get the path of the very file that was sent: nothing is decoded on the way.

    Args:
        options: more arguments of `gr.Image`.

    Returns:
        The input, and the event that a new image has come and can be read; its `success` is where to go on from.
    """
    image = gr.Image(
        type="filepath", image_mode=None, sources=["upload", "clipboard"], buttons=["fullscreen"], **options
    )

    def readable(path: Text | None) -> str | None:
        if not path:
            return None
        shown = displayable(Path(path))
        if about := about_frames(Path(path)):
            gr.Info(about)
        return shown

    _take_no_addresses(image)
    _show_how(image, "photo.png")
    replace_method(image, "preprocess", ("payload",), lambda payload: payload and payload.path)
    sent = image.upload(toast(readable), image, image, **PRIVATE)
    sent.failure(lambda: None, None, image, **PRIVATE)
    return image, sent


def photos(**options: Any) -> gr.Files:
    """Return an input of several images, as `several_files`; Gradio would tell images by their suffixes."""
    return several_files("photo.png", file_types=["image"], **options)


def several_files(example: str, **options: Any) -> gr.Files:
    """Return an input of several files, whose handlers get the paths of the very files that were sent.

    Args:
        example: name of one, for programs.
        options: more arguments of `gr.Files`.
    """
    files = gr.Files(**options)
    replace_method(files, "preprocess", ("payload",), lambda payload: payload and [file.path for file in payload.root])
    _take_no_addresses(files)
    _show_how(files, [example])
    return files


def archive(**options: Any) -> gr.File:
    """Return an input of a ZIP file, whose handlers get the path of the very file that was sent."""
    file = gr.File(file_types=[".zip"], **options)
    _take_no_addresses(file)
    _show_how(file, "photos.zip")
    return file


def _show_how(component: gr.Image | gr.File, example: str | list[str]) -> None:
    """Show files with these names, and not addresses, on the page for programs."""
    names = [example] if isinstance(example, str) else example
    payloads = [{"path": name, "url": name, "meta": {"_type": "gradio.FileData"}} for name in names]
    replace_method(component, "example_payload", (), lambda: payloads[0] if isinstance(example, str) else payloads)


def _take_no_addresses(component: gr.Image | gr.File) -> None:
    """Refuse addresses: the server fetches nothing from elsewhere."""
    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if str(path).startswith(("http:", "https:")):
            raise gr.Error("Send the image itself, not its address.", print_exception=False)
        return await move(path)

    replace_method(component, "async_move_resource_to_block_cache", ("url_or_file_path",), move_file)


# Of the class: Gradio makes a new dropdown for a session whose choices have changed, and would refuse what a person had
# chosen before.
replace_method(gr.Dropdown, "preprocess", ("self", "payload"), lambda self, payload: payload)


def choice(**options: Any) -> gr.Dropdown:
    """Return a dropdown whose handlers check the value themselves, and say what is wrong with it."""
    return gr.Dropdown(**options)


def tile_size(elem_id: str) -> gr.Textbox:
    """Return the field for the side of the tiles; `UpscaleSettings.tile_size` reads it."""
    return gr.Textbox("auto", label="Tile", info="auto, whole, or pixels", max_lines=1, min_width=120, elem_id=elem_id)


def picture(label: str, **options: Any) -> gr.Image:
    """Return a picture that shows exactly the pixels of its file."""
    return gr.Image(label=label, format="png", type="filepath", interactive=False, buttons=[], min_width=160, **options)


def slider(elem_id: str) -> gr.ImageSlider:
    """Return two pictures, one over the other."""
    return gr.ImageSlider(
        format="png", interactive=False, show_label=False, max_height=640, buttons=["fullscreen"], elem_id=elem_id
    )


def gallery(label: str, elem_id: str, **options: Any) -> gr.Gallery:
    """Return whole pictures with whole captions, as many side by side as fit."""
    return gr.Gallery(
        label=label,
        show_label=False,
        format="png",
        height="auto",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=elem_id,
        elem_classes="pictures",
        **options,
    )


def samples(image: gr.Image, longest: int) -> gr.helpers.Examples:
    """Return a row of photographs to try things on, of at most `longest` pixels a side."""
    row = gr.Examples(
        [[str(path)] for path in sample_paths(longest)],
        image,
        label="Or try one of these",
        cache_examples=False,
        api_visibility="private",
    )
    assert Context.root_block is not None
    Context.root_block.fns[row.load_input_event["id"]].trigger_mode = LIGHT["trigger_mode"]
    chosen = row.dataset.preprocess

    def preprocess(payload: int | None) -> Any:
        if payload is None:  # not from the page; Gradio's handler would fail
            raise gr.Error("Choose one of the photographs.", print_exception=False)
        return chosen(payload)

    replace_method(row.dataset, "preprocess", ("payload",), preprocess)
    return row


def placing_hint() -> None:
    """Say how a place is chosen in a picture with the number fields x and y; page.js moves it by the arrow keys."""
    text = "Click on the picture, or type x and y. While it has the focus, arrow keys move the place (Shift: by 10)."
    gr.HTML(f'<p class="hint">{text}</p>', js_on_load=None, apply_default_css=False)


def corrected(new: Sequence[Any], old: Sequence[Any]) -> list[Any]:
    """Return the new values for fields that had old ones, skipping those that are right: meanwhile they may change."""
    return [gr.skip() if now == before else now for now, before in zip(new, old, strict=True)]


def suggestions(tab: str) -> dict[str, gr.Button]:
    """Return a row of buttons by kind, one for each place that `analysis.common.suggestions` finds."""
    with gr.Row(elem_id=f"{tab}-suggestions", elem_classes="onward"):
        gr.HTML("<span>Suggest a place</span>", js_on_load=None, apply_default_css=False)
        return {
            kind: gr.Button(label, size="sm", min_width=60, elem_id=f"{tab}-suggest-{kind}")
            for kind, label in KINDS.items()
        }


def table_of(template: str, elem_id: str, on_load: str | None = None) -> gr.HTML:
    """Return a table that the browser renders from rows of plain values, by a template of JavaScript; `on_load` is
    more of that, for its buttons and fields."""
    return gr.HTML(
        [], html_template=template, js_on_load=on_load, apply_default_css=False, elem_id=elem_id, elem_classes="scores"
    )


def point(event: gr.SelectData) -> tuple[int, int]:
    """Return the pixel of an image that was clicked on, as x and y: what `.select` is to fill into two number fields.

    The handler that uses them takes the numbers and not the event, so that it works without a browser too.

    Raises:
        UserError: it was not a click on a picture.
    """
    try:
        x, y = map(int, event.index)
    except (TypeError, ValueError) as error:
        raise UserError("Click on a place in the picture.") from error
    return x, y


def event_value(event: gr.EventData, name: str, kind: type[Value]) -> Value:
    """Return the value of a click under a name.

    Raises:
        UserError: it says nothing of this kind.
    """
    try:
        return kind(getattr(event, name))
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError("Click on one of the things that are shown.") from error
