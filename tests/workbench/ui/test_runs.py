"""Runs that can be stopped: all that is said of one comes from itself, in its turn."""

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest
from gradio.context import LocalContext

from promptsr.support.errors import UserError
from workbench.page import build
from workbench.ui import status
from workbench.ui.components import run, stoppable

STOPPED = status.idle("Stopped.")


@pytest.fixture
def tab() -> tuple[gr.HTML, Callable[[str | None], None]]:
    """The status of a tab, and what its button asks the server."""
    with gr.Blocks() as page:
        news, cancel = gr.HTML(), gr.Button()
        stoppable(cancel, news)
    [stop] = [function.fn for function in page.fns.values() if function.name == "stop"]
    return news, stop


def work(steps: int, fault: str | None = None) -> Iterator[tuple[Any, str]]:
    for step in range(steps):
        yield gr.skip(), status.running(f"step {step}")
    if fault:
        raise UserError(fault)
    yield "result", status.done({"steps": str(steps)})


def begun(name: str, news: gr.HTML, *work_of: Any) -> Iterator[Any]:
    """The first step of a run is done, as event `name`."""
    LocalContext.event_id.set(name)
    steps = iter(run(work, news)(*work_of))
    assert f'data-run="{name}"' in next(steps)[1]
    return steps


def test_a_stopped_run_ends_itself_and_no_other(tab: tuple[gr.HTML, Callable[[str | None], None]]) -> None:
    news, stop = tab
    first, other = begun("first", news, 5), begun("other", news, 2)
    stop("first")
    assert next(first) == {news: STOPPED}
    with pytest.raises(gr.Error) as end:  # or what follows a success would begin
        next(first)
    assert not end.value.visible
    for late in ("first", "never", "", None):
        stop(late)
    assert [step[0] for step in other][-1] == "result"


def test_a_result_that_is_there_is_kept(tab: tuple[gr.HTML, Callable[[str | None], None]]) -> None:
    news, stop = tab
    steps = begun("run", news, 1)
    assert next(steps)[0] == "result"
    stop("run")
    assert list(steps) == []


def test_a_run_that_fails_says_so_itself(tab: tuple[gr.HTML, Callable[[str | None], None]]) -> None:
    steps = begun("run", tab[0], 1, "Choose another.")
    assert next(steps) == {tab[0]: STOPPED}
    with pytest.raises(gr.Error, match="Choose another"):
        next(steps)


def test_nothing_but_runs_writes_into_a_status() -> None:
    """A status is shown in the order in which a run says it. Others show what is finished already."""
    page = build()
    statuses = {block._id: block.elem_id for block in page.blocks.values() if str(block.elem_id).endswith("-status")}
    assert len(statuses) == 7
    for function in page.fns.values():
        told = [statuses[block._id] for block in function.outputs if block._id in statuses]
        finished = ("_welcome", "_welcome_late", "FirstResult.show.<locals>.show", "Results.connect.<locals>.show")
        if told and function.fn not in (None, gr.skip) and function.fn.__qualname__ not in finished:
            assert told == [statuses[function.outputs[-1]._id]] and function.types_generator, function.name
            assert "run.<locals>" in function.fn.__code__.co_qualname, function.name


def test_what_is_looked_at_is_set_in_the_order_of_the_acts() -> None:
    """Else the answer to a new network can come after that to a click, on a busy machine, and undo it."""
    page = build()
    ids = {block._id for block in page.blocks.values() if block.elem_id in ("tour-diagram", "tour-box", "tour-x")}
    acts = [each for each in page.fns.values() if each.name in ("_pick", "_restart", "point", "_middle")]
    acts = [each for each in acts if ids & {block._id for block in each.outputs}]
    assert sorted(str(each.name) for each in acts) == ["_middle", "_middle", "_pick", "_restart", "point"]
    assert len({each.concurrency_id for each in acts}) == 1 and {each.concurrency_limit for each in acts} == {1}


def test_no_click_is_dropped() -> None:
    """By default Gradio drops events while the last one is being answered: only buttons that draw or open may do so."""
    for function in build().fns.values():
        if function.collects_event_data:  # or the place of the click before would be sent once more
            assert function.trigger_mode == "multiple", function.name
        elif function.fn is not None and function.trigger_mode == "once":
            [(_, event)] = function.targets
            drawing = ("draw_figure", "figure", "categories", "function", "pack", "_save", "_pack")
            assert event == "click" and function.name in drawing, function.name


def test_progress_that_is_hidden_is_written_nowhere() -> None:
    """Gradio writes each state of an event to every component that any event's progress belongs to, hidden or not."""
    hidden = [
        each
        for each in build().fns.values()
        if each.show_progress == "hidden" and not str(each.name).startswith("load_example")
    ]
    assert len(hidden) > 200
    assert [each.name for each in hidden if each.show_progress_on != []] == []
