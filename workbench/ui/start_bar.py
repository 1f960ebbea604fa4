"""The bar of a tab that stays in sight: what starts its work, what stops it, its progress, and whether the result that
is shown belongs to the settings."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import gradio as gr
from gradio.context import Context

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
    return StartBar(row, start, cancel, news)


def belong(tab: str, settings: Sequence[Any]) -> None:
    """Let the page mark the result of a tab as old as long as these components differ from what it was asked with."""
    tell = f"(...values) => {{ window.settingsNow('{tab}', values); }}"
    page = Context.root_block
    assert isinstance(page, gr.Blocks)
    gr.on([page.load, *(each.change for each in settings)], None, list(settings), None, js=tell, **PRIVATE)


def press(tab: str) -> dict[str, Any]:
    """Return the arguments of an event after which a tab starts by itself; a run that goes on is stopped first."""
    return {"fn": None, "js": f"() => {{ window.startAgain('{tab}'); }}", **PRIVATE}
