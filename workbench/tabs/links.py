"""Places handed on from tab to tab, and addresses that open one.

?tab=lam&sample=china&side=256&way=shrink&model=promptsr-tiny-x4&x=130&y=80

Only samples can be linked to: what people send stays with them. Everything but the tab may be left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from urllib.parse import urlencode

import gradio as gr
from gradio.events import Dependency

from promptsr.support.errors import UserError
from workbench.server.arguments import validated
from workbench.sessions import models
from workbench.sessions.places import Place
from workbench.ui.components import CLICK, PRIVATE, Handler, nothing, toast
from workbench.ui.samples import SIDES, sample_paths
from workbench.ui.tab_header import TABS

_WAYS = ("shrink", "enlarge")
_ONWARD = ("upscale", "compare", "lam", "attention", "architecture")
"""Ids of the tabs where a place can be opened."""


@dataclass(frozen=True)
class Destination:
    """A tab where a place can be opened: an event fills `inputs` with `values(place)`, and that starts the work."""

    tab: str
    inputs: list[Any]
    values: Callable[[Place], list[Any]]
    """Raises `UserError` for a place that cannot be opened there."""


@dataclass(frozen=True)
class Source:
    """A tab that has a place: its buttons hand it on."""

    buttons: dict[str, gr.Button]
    inputs: list[Any]
    place: Callable[..., Place]
    """Takes the values of `inputs`; raises `UserError` where there is no place yet."""


def onward(own: str) -> dict[str, gr.Button]:
    """Return a row of buttons, one for each tab but `own` where a place can be opened."""
    with gr.Row(elem_id=f"{own}-onward", elem_classes="onward"):
        gr.HTML("<span>Look at this place in</span>", js_on_load=None, apply_default_css=False)
        return {
            tab: gr.Button(TABS[tab].title, size="sm", min_width=60, elem_id=f"{own}-to-{tab}")
            for tab in _ONWARD
            if tab != own
        }


def new_question(*asked: Any) -> tuple[Any, ...]:
    """Return a value that equals no other: its arrival starts the work.

    The browser may still send what was chosen before, so what starts the work carries its own question.
    """
    return Lock(), *asked


def answered(asked: gr.State, *answer: Any, **options: Any) -> Dependency:
    """Connect the answer to a question that arrives: each is answered, and once.

    Args:
        asked: the last `new_question`; server and browser both tell of its arrival.
        answer: handler, inputs and outputs.
        options: more arguments of the event.
    """

    def first(question: tuple[Any, ...]) -> None:
        if not question[0].acquire(blocking=False):
            raise nothing()

    return asked.change(toast(first), asked, None, **CLICK).success(*answer, **options)


class Query(Protocol):
    """Query of an address, as Starlette has it."""

    def get(self, key: str, /) -> str | None:
        """Return the last value of a key."""

    def getlist(self, key: str, /) -> list[str]:
        """Return all values of a key."""


def address(tab: str, place: Place) -> str:
    """Return the link that opens a place in a tab; the tab alone if the photograph is no sample."""
    fields: dict[str, Any] = {"tab": tab}
    for side in SIDES:
        if place.image in sample_paths(side):
            x, y = (start + place.region.size // 2 for start in (place.region.x, place.region.y))
            fields |= {
                "sample": place.image.stem,
                "side": side,
                "way": place.way,
                "model": place.models,
                "x": x,
                "y": y,
            }
    return f"?{urlencode(fields, doseq=True)}"


def read(query: Query) -> tuple[str | None, Place | None]:
    """Return the tab and the place that a link asks for.

    Raises:
        UserError: there is no such tab, sample, model or place.
    """
    tab, sample = query.get("tab"), query.get("sample")
    if tab is not None and tab not in list(TABS):
        raise UserError(f"There is no tab {tab}: a link names one of {', '.join(TABS)}.")
    if sample is None:
        return tab, None
    side, way = query.get("side") or str(SIDES[-1]), query.get("way") or "enlarge"
    if side not in map(str, SIDES) or way not in _WAYS:
        raise UserError(f"A link has a side of {', '.join(map(str, SIDES))} and a way of {' or '.join(_WAYS)}.")
    image = _sample(sample, int(side))
    names = query.getlist("model") or models.with_bicubic(models.favourite())
    for name in names:
        models.load_rival(name, models.scale_of(names[0]))
    x, y = (_number(axis, query.get(axis)) for axis in "xy")
    return tab, Place.around(str(image), way, names, x, y)


def connect(tabs: gr.Tabs, sources: Sequence[Source], destinations: Sequence[Destination]) -> None:
    """Make every button open its tab at the place, and the address say so."""
    link = gr.Textbox(visible="hidden")
    for source in sources:
        find = validated(source.place)
        for destination in destinations:
            if destination.tab in source.buttons:
                opening = toast(partial(_open, find, destination))
                opened = source.buttons[destination.tab].click(
                    opening, source.inputs, [link, tabs, *destination.inputs], **{**PRIVATE, "trigger_mode": "once"}
                )
                opened.success(None, link, None, js="link => { history.replaceState(history.state, '', link); }")


def _open(find: Callable[..., Place], destination: Destination, *values: Any) -> list[Any]:
    place = find(*values)
    return [address(destination.tab, place), gr.Tabs(selected=destination.tab), *destination.values(place)]


def follow(page: gr.Blocks, tabs: gr.Tabs, destinations: Sequence[Destination]) -> None:
    """Make the page open where its address says."""

    def select(request: gr.Request) -> Any:
        tab, _ = read(request.query_params)
        return gr.skip() if tab is None else gr.Tabs(selected=tab)

    def opening(destination: Destination) -> Handler:
        def opened(request: gr.Request) -> list[Any]:
            if (request.query_params.get("tab") or next(iter(TABS))) != destination.tab:
                raise nothing()
            try:
                _, place = read(request.query_params)
            except UserError as error:  # which `select` tells
                raise nothing() from error
            if place is None:
                raise nothing()
            return destination.values(place)

        return opened

    page.load(toast(select), None, tabs, **PRIVATE)
    for destination in destinations:
        page.load(toast(opening(destination)), None, destination.inputs, **PRIVATE)


def _sample(name: str, side: int) -> Path:
    found = {path.stem: path for path in sample_paths(side)}
    if name not in found:
        raise UserError(f"There is no sample {name}: a link names one of {', '.join(found)}.")
    return found[name]


def _number(axis: str, text: str | None) -> int | None:
    if text is not None and not text.isdecimal():
        raise UserError(f"The {axis} of a link must be a whole number, not {text}.")
    return None if text is None else int(text)
