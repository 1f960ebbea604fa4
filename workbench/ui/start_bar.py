"""The bar of a tab that stays in sight: what starts its work, what stops it, its progress, and whether the result that
is shown belongs to the settings."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, NamedTuple

import gradio as gr

from promptsr.support.errors import UserError
from workbench.server.arguments import validated
from workbench.ui import status
from workbench.ui.components import PRIVATE


class StartBar(NamedTuple):
    """Parts of the bar."""

    row: gr.Row
    start: gr.Button
    cancel: gr.Button
    news: gr.HTML
    """Status of the run."""


def start_bar(tab: str, verb: str, hint: str) -> StartBar:
    """Add the bar to a tab, as the first thing in it.

    Args:
        tab: start of the ids.
        verb: text of the button that starts a run.
        hint: status before the first run.
    """
    with gr.Row(elem_id=f"{tab}-bar", elem_classes="start-bar") as row:
        start = gr.Button(verb, variant="primary", min_width=120, elem_id=f"{tab}-start")
        cancel = gr.Button("Cancel", min_width=90, elem_id=f"{tab}-cancel")
        old = f'<p role="status">Settings changed: press {verb}.</p>'
        gr.HTML(old, js_on_load=None, apply_default_css=False, elem_classes="old-note")
        news = gr.HTML(status.idle(hint), elem_id=f"{tab}-status", elem_classes="news")
        copy_link()
    return StartBar(row, start, cancel, news)


def copy_link() -> gr.Button:
    """Return the button that copies a link to what the open tab shows, see page.js."""
    return gr.Button("Copy link", min_width=90, elem_classes="copy-link")


def estimated(tab: str, bar: gr.Row, settings: Sequence[Any], seconds: Callable[..., float | None]) -> None:
    """Let the bar say how long a run of these settings will take, as long as no result of theirs is shown.

    Args:
        tab: start of the ids.
        bar: of the tab.
        settings: components whose values `seconds` takes.
        seconds: returns the time on this machine; None, or a `UserError`, if it is not known.
    """
    with bar:
        estimate = gr.HTML(elem_id=f"{tab}-estimate", elem_classes="estimate")
    checked = validated(seconds)

    @wraps(seconds)
    def tell(*values: Any) -> str:
        try:
            known = checked(*values)
        except UserError:  # which the run tells
            known = None
        return f"About {status.duration(known)} on this machine." if known else ""

    gr.on([each.change for each in settings], tell, list(settings), estimate, **PRIVATE)


def press(tab: str) -> dict[str, Any]:
    """Return the arguments of an event after which a tab starts by itself; a run that goes on is stopped first."""
    return {"fn": None, "js": f"() => {{ window.startAgain('{tab}'); }}", **PRIVATE}
