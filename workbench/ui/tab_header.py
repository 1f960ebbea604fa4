"""Header of a tab: title, and a picture and a sentence that say what the tab is for."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

_PICTURES = Path(__file__).parents[1] / "static" / "intro"


@dataclass(frozen=True)
class About:
    """Title and sentence of a tab."""

    title: str
    sentence: str


TABS = {
    "upscale": About(
        "Upscale",
        "Make a photograph 2, 3 or 4 times larger: the network adds the detail that it has learned to expect there.",
    ),
    "many": About(
        "Many photographs",
        "Drop photographs: all are upscaled alike, and the results come as one ZIP file. Without any, the samples are "
        "taken.",
    ),
    "compare": About(
        "Compare",
        "Several networks enlarge the same photograph: slide from one result to another, and measure which comes "
        "closest to the original.",
    ),
    "lam": About(
        "Attribution",
        "Click on a place in the result, and see in red from which pixels of the small photograph the network made it.",
    ),
    "failures": About(
        "Failures",
        "Photographs are shrunk and enlarged again, to find the places where a network does worse than others.",
    ),
    "attention": About(
        "Attention",
        "Click on a pixel, and see how it learns of the rest of the image: through a few anchors that have read all "
        "of it.",
    ),
    "anchors": About(
        "Anchors",
        "Each dot is what the anchors have gathered from one image: dots that lie close together look alike to the "
        "network.",
    ),
    "architecture": About(
        "Architecture",
        "Walk a photograph through the network box by box. To check the paper's claims, run python -m analysis paper.",
    ),
    "models": About(
        "Models",
        "All networks of this page: their size, score, speed and licence, and what figures call them.",
    ),
}
"""Tabs by id, in the order of the page."""


@contextmanager
def tab(name: str) -> Iterator[gr.Tab]:
    """Open the tab with this id; its columns are added inside."""
    about = TABS[name]
    picture = (_PICTURES / f"{name}.svg").read_text(encoding="utf-8")
    with gr.Tab(about.title, id=name, elem_id=f"tab-{name}") as found:
        gr.HTML(f'<div class="intro">{picture}<p>{about.sentence}</p></div>', js_on_load=None, apply_default_css=False)
        with gr.Row(equal_height=False):
            yield found
