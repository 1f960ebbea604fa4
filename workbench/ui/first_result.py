"""The result that a tab opens with: made once for all visitors, while the page is idle or for the first of them."""

import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any

import gradio as gr
from gradio.events import Dependency

from workbench.server.device import awaited
from workbench.sessions.pictures import FRESH
from workbench.ui.components import PRIVATE, nothing, toast


class FirstResult:
    """The answer to the question that a tab opens with.

    Args:
        make: returns the values of the tab's outputs.
    """

    def __init__(self, make: Callable[[], tuple[Any, ...]]) -> None:
        self._make = make
        self._making = threading.Lock()
        self._result: tuple[Any, ...] | None = None
        self._made = 0.0

    def __call__(self) -> tuple[Any, ...]:
        """Return it; it is made when it is missing."""
        with awaited(), self._making:  # once, also if another visitor comes meanwhile
            if self._result is None or not self.is_ready:
                self._result = Context().run(self._make)  # its status names no event: it is shown on many pages
                self._made = time.time()
            return self._result

    @property
    def is_ready(self) -> bool:
        """True if it can be shown at once."""
        return self._result is not None and time.time() - self._made <= FRESH

    def show(self, tab: gr.Tab, unchanged: Sequence[Any], outputs: Any) -> Dependency:
        """Show it when the tab is opened, but not by a link; its `success` is where to go on from.

        Args:
            tab: the tab.
            unchanged: components that have another value as soon as something is asked in the tab; the first is HTML.
            outputs: of the tab.
        """
        initial = [each.value for each in unchanged]

        def make(*values: Any) -> None:
            if [*values] != initial:
                raise nothing()
            self()

        def show(*values: Any) -> tuple[Any, ...]:
            make(*values)  # by now something may have been asked
            return self()

        js = f"(...values) => window.unlessAwaited('{tab.id}', values)"
        making = tab.select(toast(make), list(unchanged), None, js=js, **PRIVATE)
        return making.success(toast(show), list(unchanged), outputs, **PRIVATE)
