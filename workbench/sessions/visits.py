"""Latest questions of each visitor: a page that is loaded again finds its results, and runs that still go on."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import wraps
from threading import Lock
from typing import Any

from gradio.context import LocalContext

from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions.pictures import FRESH

_EACH = 8
"""Answers that are kept of one visit, the latest ones."""
_PAUSE = 0.2
"""Seconds between two looks at a run that goes on."""


@dataclass(eq=False)
class Answer:
    """Outputs of a run so far."""

    event: str | None
    """Gradio's event of the run."""
    shown: list[Any] = field(default_factory=list)
    """The last value of each output."""
    done: bool = False
    """True if it came to its end."""
    over: bool = False
    """True if it ended in any way."""
    fault: str = ""
    """Why it failed, if it did."""
    left: bool = False
    """True if its page is gone."""
    seen: float = field(default_factory=time.monotonic)
    """When a page has looked at it last."""

    def add(self, step: Any) -> None:
        """Take what a step shows; outputs that it skips stay as they were."""
        self.shown = [
            self.shown[index] if _skipped(value) and self.shown else value for index, value in enumerate(step)
        ]

    def follow(self) -> Iterator[list[Any]]:
        """Yield what the run has shown so far, then its news until it ends.

        Raises:
            UserError: the run failed.
        """
        before: list[Any] = []
        while True:
            self.seen, over, now = time.monotonic(), self.over, self.shown
            if now is not before:
                yield [
                    {"__type__": "update"} if before and value is before[index] else value
                    for index, value in enumerate(now)
                ]
                before = now
            if over:
                break
            time.sleep(_PAUSE)
        if self.fault:
            raise UserError(self.fault)


_lock = Lock()
_pages: OrderedDict[str, str] = OrderedDict()
"""Visit by Gradio's session, which is a page until it is loaded again."""
_visits: OrderedDict[str, OrderedDict[str, Answer]] = OrderedDict()
"""Answers by question, by visit."""


def enter(visit: str) -> None:
    """Let the page that asks belong to a visit: a secret of the browser's tab, which outlives its pages."""
    session = _session()
    if session is not None:
        with _lock:
            _pages[session] = visit
            _keep_latest(_pages, session)


def current() -> str | None:
    """Return the visit of the page that asks; None for a program."""
    with _lock:
        return _pages.get(_session() or "")


def find(tab: str, question: tuple[Any, ...]) -> Answer | None:
    """Return the answer to a question of this visit, finished or not; None if there is none."""
    with _lock:
        answers = _visits.get(_pages.get(_session() or "", ""))
        answer = answers.get(_key(tab, question)) if answers else None
        return answer if answer and time.monotonic() - answer.seen < FRESH else None


def kept(tab: str, handler: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Keep what a generator shows to a visitor: `find` has it, also while it goes on, unless it fails or is stopped.

    A run whose page is gone is stopped after a limit of time in which no page looks at it.
    """

    @wraps(handler)
    def generator(*question: Any) -> Iterator[Any]:
        visit = current()
        if visit is None:  # a program
            yield from handler(*question)
            return
        answer, key = Answer(LocalContext.event_id.get(None)), _key(tab, question)
        with _lock:
            answers = _visits.setdefault(visit, OrderedDict())
            answers[key] = answer
            answers.move_to_end(key)
            while len(answers) > _EACH:
                answers.popitem(last=False)
            _keep_latest(_visits, visit)
        try:
            with closing(handler(*question)) as steps:  # type: ignore[type-var]
                for step in steps:
                    answer.add(step)
                    yield step
                    if answer.left and time.monotonic() - answer.seen > in_force().away_seconds:
                        raise UserError("The page of this run was closed, so it was stopped.")
            answer.done = True
        except UserError as error:
            answer.fault = str(error)
            raise
        finally:
            answer.over = True
            with _lock:
                if not answer.done and answers.get(key) is answer:
                    del answers[key]

    return generator


def leave(event: str) -> bool:
    """Tell that the page of an event is gone; return whether it is a run of a visitor, who may come back to it."""
    with _lock:
        for answers in _visits.values():
            for answer in answers.values():
                if answer.event == event and not answer.over:
                    answer.left, answer.seen = True, time.monotonic()
                    return True
    return False


def _session() -> str | None:
    request = LocalContext.request.get(None)
    return request.session_hash if request else None


def _key(tab: str, question: tuple[Any, ...]) -> str:
    """Return the key of a question; browsers send 2.0 as 2."""
    same = (int(each) if isinstance(each, float) and each.is_integer() else each for each in question)
    return json.dumps([tab, *same])


def _keep_latest(entries: OrderedDict[str, Any], key: str) -> None:
    entries.move_to_end(key)
    while len(entries) > in_force().sessions:
        entries.popitem(last=False)


def _skipped(value: Any) -> bool:
    return isinstance(value, dict) and value == {"__type__": "update"}
