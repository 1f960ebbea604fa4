"""The tab *Models*: all networks of the page, checkpoints that its owner adds, those to fetch, and ignored files."""

from collections.abc import Iterator
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from promptsr.support.errors import UserError
from promptsr.zoo.formats import TENSOR_SUFFIXES
from promptsr.zoo.listing import OWN_MODELS
from workbench.server.arguments import Texts
from workbench.sessions import figure_names, models
from workbench.sessions.model_rows import ignored, rows, to_fetch
from workbench.ui import status
from workbench.ui.components import CLICK, LIGHT, PRIVATE, event_value, several_files, table_of, toast
from workbench.ui.model_choice import open_choices, renew_choices
from workbench.ui.model_tables import COPY, IGNORED, KEEP_NAME, LIST, MORE, RENAME, RESTORE_NAME
from workbench.ui.tab_header import tab

TAB = "models"
_SUFFIXES = f"{', '.join(TENSOR_SUFFIXES[:-1])} or {TENSOR_SUFFIXES[-1]}"
_OWNER = f"""Drop {_SUFFIXES} files here, or anywhere on the page. They are read as tensors only, and their models are
in all lists until the workbench is stopped."""
_VISITOR = f"Only the owner of the server adds models, in the folder that {OWN_MODELS} names."
_ADD: dict[str, Any] = {"show_progress": "minimal", "trigger_mode": "multiple"}
"""Arguments of the event that adds checkpoints. It waits for no network, and reads one file after the other."""
_FETCH = f"""Run a command in a terminal. Then drop the file on this page, or start the workbench again with
`{OWN_MODELS}=folder`."""


def build(page: gr.Blocks, own: bool) -> None:
    """Add the tab to the page, after all others.

    Args:
        page: the page.
        own: whether only this machine reaches it, so that its owner may add checkpoints and sees file names.
    """
    with tab(TAB) as opened:
        with gr.Column(scale=1, min_width=260):
            if own:
                files = several_files("model.safetensors", label="Add checkpoints", height=140, elem_id="models-file")
            gr.HTML(f'<p class="hint">{_OWNER if own else _VISITOR}</p>', js_on_load=None, apply_default_css=False)
        with gr.Column(scale=4, min_width=320), gr.Tabs(elem_classes="subtabs"):
            with gr.Tab("On this page", elem_id="models-sub-list"):
                news = gr.HTML(elem_id="models-reading")
                table = table_of(LIST, "models-table", RENAME)
            with gr.Tab("Get more", elem_id="models-sub-more"):
                gr.Markdown(_FETCH)
                more = table_of(MORE, "models-more", COPY)
            with gr.Tab("Ignored files", visible=own, elem_id="models-sub-ignored"):
                left_out = table_of(IGNORED, "models-ignored")

    at_first = set(models.known())
    offer, inputs, dropdowns = open_choices(page)

    def open_page(*values: Any) -> Iterator[list[Any]]:
        """Show the models, and offer those that were not known yet when the page was made."""
        reading = "" if models.is_complete() else "New files are being read: their models follow in a moment."
        yield [rows(), status.idle(reading) if reading else "", *[gr.skip()] * len(dropdowns)]
        models.complete()
        if set(models.known()) != at_first:
            yield [rows(), "", *offer(*values)]
        elif reading:
            yield [gr.skip(), "", *[gr.skip()] * len(dropdowns)]

    @wraps(add)
    def add_to_page(files: Texts | None) -> list[dict[str, Any]]:
        found = add(files)
        renew_choices(page)
        return found

    def fill() -> Iterator[tuple[Any, Any]]:
        yield to_fetch(), gr.skip()
        models.complete()
        yield gr.skip(), ignored() if own else []

    tell: dict[str, Any] = {"fn": None, "inputs": table, "js": "rows => { window.modelsKnown(rows); }", **PRIVATE}
    page.load(toast(open_page), inputs, [table, news, *dropdowns], **PRIVATE, concurrency_limit=None).then(**tell)
    opened.select(toast(list_models), None, table, api_name="models", **LIGHT).then(**tell)
    opened.select(toast(fill), None, [more, left_out], **PRIVATE)
    renamed = table.submit(toast(rename), None, None, **CLICK)
    renamed.success(None, None, None, js=KEEP_NAME, **PRIVATE)
    renamed.failure(None, None, None, js=RESTORE_NAME, **PRIVATE)
    if own:
        added = files.upload(toast(add_to_page), files, table, api_name="add_models", **_ADD)
        added.failure(lambda: None, None, files, **PRIVATE)
        added.success(lambda: None, None, files, **PRIVATE)
        added.success(toast(offer), inputs, dropdowns, **PRIVATE).then(**tell)


def list_models() -> list[dict[str, Any]]:
    """List the models that can be run, with size, score, speed on this machine and licence: `model_rows.rows`."""
    models.complete()
    return rows()


def add(files: Texts | None) -> list[dict[str, Any]]:
    """Add checkpoints to all lists of models until the workbench is stopped, as `models.add` does.

    Args:
        files: paths of the files that were sent; unusable ones do not cost the others.

    Returns:
        As `model_rows.rows`.

    Raises:
        UserError: none of them holds a model.
    """
    names, faults = [], []
    for file in files or []:
        try:
            names += models.add(Path(file))
        except UserError as error:
            faults.append(str(error))
    if not names:
        raise UserError(" ".join(faults) or "There is no file yet: drop a checkpoint.")
    for fault in faults:
        gr.Warning(escape(fault, quote=False))
    gr.Info(escape(f"In all lists of models now: {', '.join(names)}.", quote=False))
    return rows()


def rename(event: gr.EventData) -> None:
    """Call a model in the figures of this visit as the person has typed.

    Raises:
        UserError: as `figure_names.call`.
    """
    figure_names.call(event_value(event, "model", str), event_value(event, "name", str))
