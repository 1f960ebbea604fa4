"""A button whose file is made when it is pressed, so that its format may be chosen after the work."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from workbench.ui.components import PRIVATE, Handler, toast

_SAVE = """file => {
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.path.split(/[\\\\/]/).pop();
  link.click();
}"""


class Download:
    """The button, to be added at its place.

    Args:
        tab: start of its id.
    """

    def __init__(self, tab: str) -> None:
        self.button = gr.Button("Download", min_width=120, elem_id=f"{tab}-download")
        self.file = gr.DownloadButton(visible="hidden")

    def connect(self, make: Handler, inputs: Sequence[Any], news: gr.HTML) -> None:
        """Let the button save what `make` returns, the path of a file.

        Args:
            make: a handler, which may raise `UserError`.
            inputs: its arguments.
            news: status of the tab, where a long work is seen.
        """
        working = {**PRIVATE, "trigger_mode": "once", "show_progress": "minimal", "show_progress_on": news}
        made = self.button.click(toast(make), list(inputs), self.file, **working)
        made.success(None, self.file, None, js=_SAVE, **PRIVATE)
