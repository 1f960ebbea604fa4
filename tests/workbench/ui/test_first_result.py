"""The result that a tab opens with: made once for everybody, again before its files go, and never over another one."""

import time
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from workbench.ui.first_result import FirstResult


def test_it_is_made_once_and_names_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str | None] = []
    clock = [1000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])

    def make() -> tuple[Any, ...]:
        made.append(LocalContext.event_id.get(None))
        return (len(made),)

    found = FirstResult(make)
    token = LocalContext.event_id.set("a run")
    try:
        assert (found(), found()) == ((1,), (1,)) and made == [None]
        clock[0] += 24 * 60 * 60  # Gradio has deleted the files
        assert found() == (2,)
    finally:
        LocalContext.event_id.reset(token)


def test_what_was_asked_in_the_tab_stays() -> None:
    found = FirstResult(lambda: ("first",))
    with gr.Blocks() as page, gr.Tabs():
        with gr.Tab() as tab:
            news = gr.HTML("hint")
        found.show(tab, [news], [news])
    make, show = (function.fn for function in page.fns.values())
    assert make is not None and show is not None
    assert make("hint") is None and show("hint") == ("first",)
    for handler in (make, show):
        with pytest.raises(gr.Error) as error:
            handler("running")
        assert not error.value.visible
