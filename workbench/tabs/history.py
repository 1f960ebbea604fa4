"""The strip of results of the tab *Upscale*: what its buttons do."""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from gradio.events import Dependency

from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions.history import History
from workbench.sessions.upscale import Shown
from workbench.ui import status
from workbench.ui.components import CLICK, PRIVATE, event_value, toast
from workbench.ui.strip import strip

Views = Callable[[Shown], Sequence[Any]]


class Results:
    """The strip of a tab, to be added at its place.

    Args:
        elem_id: of the strip.
    """

    def __init__(self, elem_id: str) -> None:
        self._history = gr.State(History())
        self._strip = strip(elem_id, in_force().results)

    def connect(self, views: Views, outputs: Sequence[Any], place: Sequence[gr.Number]) -> Dependency:
        """Let the buttons work; return the event that a result is shown again.

        Args:
            views: what `outputs` are for a result.
            outputs: all that is shown of it, its settings too, and last the status.
            place: fields of the place that is magnified, which stays for results of the same photograph and size.
        """

        def show(history: History, event: gr.EventData) -> list[Any]:
            before, history = history, _changed(history, event, ("choose", "beside"))
            stays = before.find(before.after).fits(history.find(history.after))
            start = [gr.skip()] * 2 if stays else history.shown.start
            return [history, history.rows(), *start, *views(history.shown), _news(history)]

        def keep(history: History, event: gr.EventData) -> tuple[Any, ...]:
            history = _changed(history, event, ("pin", "drop"))
            return history, history.rows()

        own = [self._history, self._strip]
        self._strip.input(toast(keep), self._history, own, **CLICK)
        return self._strip.select(toast(show), self._history, [*own, *place, *outputs], **CLICK)

    def remember(self, made: Dependency, shown: gr.State) -> None:
        """Let the result of an event join the strip."""

        def add(history: History, shown: Shown) -> tuple[Any, ...]:
            history = history.add(shown)
            return history, history.rows()

        own = [self._history, self._strip]
        made.success(toast(add), [self._history, shown], own, **PRIVATE)


def _changed(history: History, event: gr.EventData, ways: Sequence[str]) -> History:
    """Return the history after the button that was pressed."""
    what, number = event_value(event, "what", str), event_value(event, "number", int)
    if what not in ways:
        raise UserError("Press one of the buttons of the strip.")
    changed: History = getattr(history, what)(number)
    return changed


def _news(history: History) -> str:
    """Return the status of what is shown."""
    shown = history.shown
    if not history.before:
        return shown.news
    before, after = history.find(history.before).shown, history.find(history.after).shown
    facts = {"Before": before.title, "After": after.title, "Input": f"{shown.width} × {shown.height}"}
    return status.done({**facts, "Output": "{} × {}".format(*shown.size)}, shown.run)
