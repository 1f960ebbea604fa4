"""Runs of a visit: a page that is loaded again finds them, others do not, and waiting for them ends."""

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from promptsr.support.errors import UserError
from workbench.server.limits import Limits
from workbench.sessions import visits

SKIP = gr.skip()


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    visits._pages.clear()
    visits._visits.clear()
    yield
    LocalContext.request.set(None)


def on_page(name: str, visit: str = "", event: str = "event") -> None:
    """Make this page the source of the requests that follow."""
    LocalContext.request.set(SimpleNamespace(session_hash=name))  # type: ignore[arg-type]
    LocalContext.event_id.set(event)
    if visit:
        visits.enter(visit)


def work(photo: str, size: int) -> Iterator[tuple[Any, str]]:
    yield SKIP, "running"
    if size < 0:
        raise UserError("Too small.")
    yield f"{photo} {size}", "running"
    yield SKIP, "done"


RUN = visits.kept("tab", work)


def test_a_page_finds_what_was_shown_before() -> None:
    on_page("first", "ada")
    assert [*RUN("cat", 3)][-1] == (SKIP, "done")
    on_page("second", "ada")
    answer = visits.find("tab", ("cat", 3.0))
    assert answer and answer.done and [*answer.follow()] == [["cat 3", "done"]]
    assert visits.find("tab", ("cat", 4)) is None and visits.find("other", ("cat", 3)) is None
    on_page("third", "ben")
    assert visits.find("tab", ("cat", 3)) is None
    on_page("fourth")  # a program
    assert visits.find("tab", ("cat", 3)) is None
    assert len([*RUN("dog", 1)]) == 3 and visits.find("tab", ("dog", 1)) is None


def test_a_page_follows_a_run_to_its_end() -> None:
    on_page("first", "ada")
    steps = RUN("cat", 3)
    next(steps)
    on_page("second", "ada")
    answer = visits.find("tab", ("cat", 3))
    assert answer
    following = answer.follow()
    assert next(following) == [SKIP, "running"]
    next(steps)
    assert next(following) == ["cat 3", SKIP]  # strings that are the same object are not sent again
    assert next(steps) == (SKIP, "done")
    assert next(following) == [SKIP, "done"]
    assert [*steps] == [] and [*following] == [] and answer.done


@pytest.mark.parametrize("how", ["fails", "is stopped"])
def test_a_run_that_ends_early_is_not_found(how: str) -> None:
    on_page("first", "ada")
    steps = RUN("cat", -1)
    next(steps)
    answer = visits.find("tab", ("cat", -1))
    assert answer
    if how == "fails":
        with pytest.raises(UserError, match="Too small"):
            next(steps)
        with pytest.raises(UserError, match="Too small"):
            [*answer.follow()]
    else:
        steps.close()  # type: ignore[attr-defined]
        assert [*answer.follow()]
    assert answer.over and not answer.done and visits.find("tab", ("cat", -1)) is None


def test_a_run_whose_page_is_gone_is_stopped_unless_a_page_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(visits, "in_force", lambda: Limits(away_seconds=60))

    def long() -> Iterator[tuple[int, str]]:
        for step in range(100):
            yield step, "running"

    on_page("first", "ada", "run")
    steps = visits.kept("tab", long)()
    next(steps)
    now = 1000
    next(steps)  # the page is there
    assert not visits.leave("another") and visits.leave("run")
    now = 1059
    next(steps)
    on_page("second", "ada")
    answer = visits.find("tab", ())
    assert answer
    next(answer.follow())
    now = 1118
    next(steps)
    now = 1120
    with pytest.raises(UserError, match="page of this run was closed"):
        next(steps)
    assert not visits.leave("run")


def test_only_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "in_force", lambda: Limits(sessions=3))
    for visit in range(10):
        on_page(f"page {visit}", f"visit {visit}")
        for size in range(20):
            assert [*RUN("cat", size)]
            assert visits.find("tab", ("cat", 0)) is not None or size >= 8
        assert visits.find("tab", ("cat", 11)) is None and visits.find("tab", ("cat", 12))
    assert list(visits._visits) == ["visit 7", "visit 8", "visit 9"] and len(visits._pages) == 3
