"""Addresses: what is set in a tab under short keys, links that open it, and places handed on from tab to tab.

?tab=lam&photo=china-256&model=bicubic-x4&model=promptsr-tiny-x4&x=130&y=80

`static/page.js` writes them, without what is as at first, and remembers settings in the same words; this reads them. A
photograph of one's own has the name of its folder on the server, which cannot be guessed.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from inspect import isgeneratorfunction
from threading import Lock
from typing import Annotated, Any, Literal, Protocol

import gradio as gr
from gradio.context import Context
from gradio.events import Dependency
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import QueryParams

from promptsr.support.errors import UserError
from workbench.server.arguments import validated
from workbench.sessions import models, visits
from workbench.sessions.places import Place
from workbench.tabs.address_values import FILES, first_value, number_of, sample_named, value_of
from workbench.ui.components import CLICK, HEAVY, PRIVATE, RUN, Handler, nothing, run, stoppable, toast
from workbench.ui.samples import SIDES
from workbench.ui.start_bar import StartBar
from workbench.ui.tab_header import TABS

_WAYS = ("shrink", "enlarge")
_ONWARD = ("upscale", "compare", "lam", "attention", "architecture")
"""Ids of the tabs where a place can be opened."""
_FOLLOW: dict[str, Any] = {**CLICK, "concurrency_id": "following", "concurrency_limit": 8}
"""Arguments of events that show what a run has found, which goes on by itself."""
_OTHERS = ("tab", "view", "logs", "__theme", "__lang", "__sign")
"""Keys that are not of a tab: of links, of Gradio and of Hugging Face."""

Values = Mapping[str, Any]
"""Values of a tab by key."""


@dataclass(eq=False)
class Question:
    """A question to a tab from elsewhere: its arrival starts the work, once.

    The browser may still send what was chosen before, so what starts the work carries its own question.
    """

    values: Values
    asked: tuple[Any, ...]
    """Those that the handler takes."""
    place: Place | None = None
    """The place that was handed on, if any."""
    lock: Any = field(default_factory=Lock)
    answer: visits.Answer | None = None
    """A run of the same visit that answers it, or did; known once it has arrived."""
    arrived: bool = False
    taken: bool = False


class _Arrival(BaseModel):
    """A page that is loaded or goes back."""

    visit: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    tab: str | None = None
    """Name of the tab in the address."""


class _Opening(BaseModel):
    """Request of the browser for what a tab should show, as the page is loaded or goes back."""

    visit: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    query: Annotated[str, Field(max_length=16_000)]
    how: Literal["link", "again", "remembered"]
    """A link runs; a page that is loaded again shows what the last run found; settings are just filled in."""
    open: bool
    """True if the tab is the open one."""


@dataclass(frozen=True)
class TabSettings:
    """Settings of a tab, by the keys of addresses. From them follow what a run is asked, when its result is old, the
    links that open the tab, and the settings that the browser remembers."""

    tab: str
    asked: Mapping[str, Any]
    """Components whose values the tab's handler takes, in this order."""
    bar: StartBar | None = None
    """Starts and stops the work; without one the tab answers at once."""
    view: Mapping[str, Any] = field(default_factory=dict)
    """Components that say how its result is looked at, or offer others."""
    offers: Mapping[str, Callable[[Values], Any]] = field(default_factory=dict)
    """Components whose choices or range depend on other values, newly made for these; `view` comes before `asked`."""
    place: Callable[[Place], Values] | None = None
    """Returns what opens a place here, other settings stay; raises `UserError` for one that cannot be opened."""
    buttons: Mapping[str, gr.Button] = field(default_factory=dict)
    """Hand a place on, by tab."""
    here_of: Sequence[Any] = ()
    here: Callable[..., Place] | None = None
    """Takes the values of the components `here_of`; raises `UserError` where there is no place yet."""
    question: gr.State = field(default_factory=partial(gr.State, None, render=False))

    def __post_init__(self) -> None:
        page = Context.root_block
        assert isinstance(page, gr.Blocks)
        triggers = [page.load, *(each.change for each in self.keys.values())]
        gr.on(triggers, None, list(self.keys.values()), None, js=self._tell(), **PRIVATE)

    def _tell(self, opened: bool = False) -> str:
        """Return the function that tells page.js the values; `opened` as the answer to what it wanted to show."""
        first = {key: None if isinstance(each, FILES) else first_value(each, {}) for key, each in self.keys.items()}
        spec = json.dumps([self.tab, [*first.items()], len(self.asked), opened])
        return f"(...values) => {{ window.settingsNow(...{spec}, values); }}"

    @property
    def keys(self) -> dict[str, Any]:
        """All components."""
        return {**self.asked, **self.view}

    def ask(self, *asked: Any) -> Question:
        """Return a question of these arguments of the handler."""
        return Question(dict(zip(self.asked, asked, strict=True)), asked)

    def start(self, handler: Handler, outputs: Sequence[Any], **options: Any) -> list[Dependency]:
        """Run a generator when the button of the bar is pressed, or a question arrives; *Cancel* stops it.

        Args:
            handler: its last output is the status.
            outputs: of it.
            options: more arguments of the event of the button.

        Returns:
            The events whose `success` is where to go on from, when there is a result.
        """
        bar = self.bar
        assert bar is not None
        remembered = visits.kept(self.tab, handler)
        ran = bar.start.click(run(remembered, bar.news), list(self.asked.values()), list(outputs), **RUN | options)
        answering = run(_answer(remembered), bar.news), self.question, list(outputs)
        opened = self._arrived(known=False).success(*answering, **CLICK, **HEAVY)
        following = run(_follow, bar.news), self.question, list(outputs)
        followed = self._arrived(known=True).success(*following, **_FOLLOW)
        stoppable(bar.cancel, bar.news, ran, opened, followed)
        return [ran, opened, followed]

    def answer(self, handler: Handler, outputs: Sequence[Any], **options: Any) -> Dependency:
        """Answer questions that arrive by a function; `options` are more arguments of the event."""
        return self._arrived(known=False).success(toast(_answer(handler)), self.question, list(outputs), **options)

    def _arrived(self, known: bool) -> Dependency:
        """Return the event of a question that arrives, if a run answers it already, or if none does.

        Server and browser both tell of it; it succeeds once.
        """

        def first(question: Question | None) -> None:
            if question is None:
                raise nothing()
            with question.lock:
                if not question.arrived:
                    question.answer, question.arrived = visits.find(self.tab, question.asked), True
                if question.taken or (question.answer is not None) != known:
                    raise nothing()
                question.taken = True

        return self.question.change(toast(first), self.question, None, **CLICK)

    def read(self, query: Mapping[str, Sequence[str]]) -> tuple[dict[str, Any], list[str]]:
        """Return the values that a query asks for, the first ones where it does not, and what is wrong with it."""
        values: dict[str, Any] = {}
        faults = []
        for key, component in {**self.view, **self.asked}.items():
            offered = self._offered(key, values)
            try:
                values[key] = value_of(key, component, offered, query[key]) if key in query else None
            except UserError as fault:
                faults.append(str(fault))
            if key not in query or key not in values:
                values[key] = first_value(component, offered)
        if strange := [key for key in query if key not in (*self.keys, *_OTHERS)]:
            faults.append(
                f"A link to {TABS[self.tab].title} has no {', '.join(strange)}: its keys are {', '.join(self.keys)}."
            )
        return values, faults

    def fill(self, values: Values, changed: Collection[str]) -> list[Any]:
        """Return the `changed` ones of these values, and for all components the choices that belong to them."""
        return [
            {**self._offered(key, values), **({"value": values[key]} if key in changed else {}), "__type__": "update"}
            for key in self.keys
        ]

    def _offered(self, key: str, values: Values) -> dict[str, Any]:
        """Return the choices or the range of a component beside other values."""
        return {**self.offers[key](values).constructor_args} if key in self.offers else {}

    def open(self, asking: Annotated[str, Field(max_length=20_000)]) -> list[Any]:
        """Return what the browser wants to see: for all components, and the question."""
        try:
            opening = _Opening.model_validate_json(asking)
        except ValidationError as error:
            raise nothing() from error
        visits.enter(opening.visit)
        parsed = QueryParams(opening.query)
        query = {key: parsed.getlist(key) for key in parsed}
        if not set(query) - set(_OTHERS):
            raise nothing()
        is_link = opening.how == "link"
        place = None
        if self.place and "sample" in query:  # as addresses were before
            values, faults = self.read({})
            try:
                place = read_place(parsed)
                values |= self.place(place)
            except UserError as error:
                faults.append(str(error))
        else:
            values, faults = self.read(query)
        if faults and is_link:
            gr.Warning(escape(" ".join(faults), quote=False), title="This link")
        asked = tuple(values[key] for key in self.asked)
        light = opening.open and self.bar is None
        starts = (is_link and not faults) or light or (opening.how == "again" and visits.find(self.tab, asked))
        return [*self.fill(values, values), Question(values, asked, place) if starts else gr.skip()]


def _answer(handler: Handler) -> Handler:
    """Make a handler (function or generator) take a question."""
    checked = validated(handler)

    def generator(question: Question) -> Iterator[Any]:
        yield from checked(*question.asked)

    def function(question: Question) -> Any:
        return checked(*question.asked)

    return generator if isgeneratorfunction(handler) else function


def _follow(question: Question) -> Iterator[list[Any]]:
    """Show what a run of the same visit has found, until it ends."""
    assert question.answer is not None
    yield from question.answer.follow()
    if not question.answer.done:
        raise nothing()


def onward(own: str) -> dict[str, gr.Button]:
    """Return a row of buttons, one for each tab but `own` where a place can be opened."""
    with gr.Row(elem_id=f"{own}-onward", elem_classes="onward"):
        gr.HTML("<span>Look at this place in</span>", js_on_load=None, apply_default_css=False)
        return {
            tab: gr.Button(TABS[tab].title, size="sm", min_width=60, elem_id=f"{own}-to-{tab}")
            for tab in _ONWARD
            if tab != own
        }


class Query(Protocol):
    """Query of an address, as Starlette has it."""

    def get(self, key: str, /) -> str | None:
        """Return the last value of a key."""

    def getlist(self, key: str, /) -> list[str]:
        """Return all values of a key."""


def read_place(query: Query) -> Place:
    """Return the place of a link as they were before every setting had a key.

    ?tab=lam&sample=china&side=256&way=shrink&model=promptsr-tiny-x4&x=130&y=80

    Raises:
        UserError: there is no such sample, model or place.
    """
    side, way = query.get("side") or str(SIDES[-1]), query.get("way") or "enlarge"
    if side not in map(str, SIDES) or way not in _WAYS:
        raise UserError(f"A link has a side of {', '.join(map(str, SIDES))} and a way of {' or '.join(_WAYS)}.")
    image = sample_named(query.get("sample") or "", int(side))
    names = query.getlist("model") or models.with_bicubic(models.favourite())
    for name in names:
        models.load_rival(name, models.scale_of(names[0]))
    x, y = (None if text is None else int(number_of(axis, text)) for axis in "xy" for text in [query.get(axis)])
    return Place.around(str(image), way, names, x, y)


def connect(page: gr.Blocks, tabs: gr.Tabs, settings: Sequence[TabSettings]) -> None:
    """Make every button open its tab at the place, and the page open where its address says."""
    for source in settings:
        for destination in settings:
            if destination.tab in source.buttons:
                opening = toast(partial(_hand_on, source, destination))
                source.buttons[destination.tab].click(
                    opening,
                    [*source.here_of, *destination.keys.values()],
                    [tabs, *destination.keys.values(), destination.question],
                    **{**PRIVATE, "trigger_mode": "once"},
                )
    asking = gr.Textbox(visible="hidden", elem_id="asking")
    moved = gr.Button(visible="hidden", elem_id="history-moved")

    def select(asking: Annotated[str, Field(max_length=20_000)]) -> Any:
        try:
            arrival = _Arrival.model_validate_json(asking)
        except ValidationError as error:
            raise nothing() from error
        visits.enter(arrival.visit)
        if arrival.tab is None:  # the first tab is open, unless another has been clicked by now
            raise nothing()
        if arrival.tab not in list(TABS):
            raise UserError(f"There is no tab {arrival.tab}: a link names one of {', '.join(TABS)}.")
        return gr.Tabs(selected=arrival.tab)

    gr.on([page.load, moved.click], toast(select), asking, tabs, js="() => [window.arrival()]", **PRIVATE)
    for each in settings:
        each.question.render()  # outside of `tabs`, which would count it as one of them
        button = gr.Button(visible="hidden", elem_id=f"{each.tab}-opening")
        js = f"() => [window.opening('{each.tab}')]"
        opened = button.click(toast(each.open), asking, [*each.keys.values(), each.question], js=js, **PRIVATE)
        opened.then(None, list(each.keys.values()), None, js=each._tell(opened=True), **PRIVATE)
    # Only tabs that have something to open ask the server: each question costs the browser a tenth of a second.
    gr.on([page.load, moved.click], None, None, None, js="() => { window.openTabs(); }", **PRIVATE)


def _hand_on(source: TabSettings, destination: TabSettings, *values: Any) -> list[Any]:
    """Return a place of one tab as what another one shows."""
    assert source.here is not None and destination.place is not None
    count = len(source.here_of)
    place = validated(source.here)(*values[:count])
    changed = destination.place(place)
    now = {**dict(zip(destination.keys, values[count:], strict=True)), **changed}
    question = Question(now, tuple(now[key] for key in destination.asked), place)
    return [gr.Tabs(selected=destination.tab), *destination.fill(now, changed), question]
