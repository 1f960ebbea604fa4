"""The sub-tab *Is it true?* of Attribution: what the maps that are shown foretell, and what the window does."""

from collections.abc import Iterator
from functools import partial
from html import escape
from typing import Any

import gradio as gr
import pandas as pd

from promptsr.inference.upscaler import Progress
from workbench.server.device import on_device
from workbench.sessions import models
from workbench.sessions.attribution import Attributed, there
from workbench.sessions.pictures import write_figure
from workbench.ui import status
from workbench.ui.components import PRIVATE, RUN, picture, run, stoppable, toast
from workbench.ui.start_bar import StartBar

_TEXT = """A map looks convincing whether or not it is true. This blurs the pixels of the input in the order of the map,
the most important ones first, and looks at the window: it should change sooner than in other orders. The nearest pixels
make most of any window; how much a map knows beyond them is seen among those that are farther than 8 pixels from it."""


def build(shown: gr.State, controls: StartBar) -> None:
    """Add the sub-tab.

    Args:
        shown: the session's maps.
        controls: bar of the tab.
    """
    with gr.Tab("Is it true?", elem_id="lam-sub-check"):
        gr.Markdown(_TEXT)
        start = gr.Button("Check the maps", elem_id="lam-check")
        answer = gr.HTML(elem_id="lam-check-answer")
        figure = picture("Change of the window", elem_id="lam-check-figure")
    outputs = [answer, figure, controls.news]
    checking = start.click(run(check, controls.news), shown, outputs, api_name="lam_check", **RUN)
    stoppable(controls.cancel, controls.news, checking)
    shown.change(toast(lambda: ("", None)), None, [answer, figure], cancels=[checking], **PRIVATE)


@on_device
def check(shown: Attributed | None) -> Iterator[tuple[Any, Any, str]]:
    """Check the maps of the session: deletion against other orders, and networks with shuffled weights.

    Yields:
        What the page shows next: sentences about each model, a figure, the status.

    Raises:
        UserError: nothing has been attributed yet.
    """
    # Imported here because captum takes half a second that the page does not have when it opens.
    from analysis.lam.faithfulness import check_faithfulness
    from analysis.lam.faithfulness_figure import draw_faithfulness
    from analysis.lam.sanity import check_sanity

    made = there(shown)
    patch, maps = made.explanation.patch, made.explanation.attributions
    names = [each.model for each in maps]
    job = status.Job({f"{kind}: {name}": 1.0 for name in names for kind in ("Blurring", "Shuffling")})

    def tell(stage: str, progress: Progress) -> tuple[Any, Any, str]:
        return gr.skip(), gr.skip(), job.running(stage, stage, progress, "passes")

    found, sentences = [], []
    for name, attribution in zip(names, maps, strict=True):
        model = models.load(name)
        blurring = check_faithfulness(model, patch.lr, attribution, patch.hr)
        faithful = yield from status.announced(blurring, partial(tell, f"Blurring: {name}"))
        shuffling = check_sanity(model, patch.lr, patch.region, stages=(1.0,))
        sane = yield from status.announced(shuffling, partial(tell, f"Shuffling: {name}"))
        found.append(faithful.curves.assign(model=name))
        sentences.append(f"<p><b>{escape(name)}:</b> {faithful.sentence} {sane.sentence}</p>")
    drawn = draw_faithfulness(pd.concat(found), names)
    yield "".join(sentences), write_figure(drawn, f"{made.name}-check", [".png"])[0], status.idle("Checked.")
