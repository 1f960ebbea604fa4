"""Handlers hold the device one at a time, and keep nothing of a refused request."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr
import pytest

from promptsr.support.errors import UserError
from workbench.server.device import awaited, in_background, on_device
from workbench.ui.components import toast


class Work:
    """Counts how much of it goes on at once."""

    def __init__(self) -> None:
        self.now = self.most = self.steps = 0
        self.closed = False

    def step(self) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(0.02)
        self.now -= 1
        self.steps += 1

    def function(self) -> str:
        self.step()
        return "done"

    def generator(self, count: int) -> Iterator[int]:
        try:
            for number in range(count):
                self.step()
                yield number
        finally:
            self.closed = True


def at_once(*handlers: Callable[[], Any]) -> None:
    threads = [threading.Thread(target=handler) for handler in handlers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_steps_of_functions_and_generators_take_turns() -> None:
    work = Work()
    function, generator = on_device(work.function), on_device(work.generator)
    at_once(function, lambda: list(generator(3)), function, lambda: list(generator(2)))
    assert (work.most, work.steps) == (1, 7)
    assert (function(), list(generator(3))) == ("done", [0, 1, 2])
    bare = Work()
    at_once(bare.function, bare.function)
    assert bare.most == 2  # or this test could not fail


def test_a_generator_lends_the_device_between_its_steps_and_closes_with_its_work() -> None:
    work = Work()
    steps = on_device(work.generator)(5)
    assert next(steps) == 0
    at_once(on_device(work.function))  # does not wait for the other four
    steps.close()
    assert work.closed and work.steps == 2


def test_who_waits_comes_before_the_next_step_of_a_long_run() -> None:
    """As a visitor beside the results that tabs open with, which are made in the background without a pause."""

    class LongRun:
        def __init__(self) -> None:
            self.steps, self.found = 0, 0
            self.begun = threading.Event()

        def run(self) -> Iterator[int]:
            for _ in range(40):
                until = time.perf_counter() + 0.02
                while time.perf_counter() < until:  # busy: who wakes up has to wait for Python's own lock too
                    pass
                self.steps += 1
                self.begun.set()
                yield self.steps

        def visit(self) -> None:
            self.found = self.steps

        def __call__(self) -> int:
            run, visit = on_device(self.run), on_device(self.visit)
            at_once(lambda: list(run()), lambda: self.begun.wait() and visit())
            return self.found

    assert max(LongRun()() for _ in range(4)) <= 3


def test_what_nobody_waits_for_gives_way() -> None:
    background, person, begun = Work(), Work(), threading.Event()

    def warm() -> None:
        with in_background():
            for _ in on_device(background.generator)(100):
                begun.set()

    thread = threading.Thread(target=warm)
    thread.start()
    begun.wait()
    run = on_device(person.generator)(3)
    assert next(run) == 0
    before = background.steps + 1  # a step that waited for the device already
    time.sleep(0.3)  # the page shows that step
    assert next(run) == 1 and background.steps <= before
    with awaited():  # as a visitor does who opens a tab while another one works
        until = time.monotonic() + 10
        while background.steps <= before and time.monotonic() < until:
            time.sleep(0.01)
        assert before < background.steps < 100
    before = background.steps + 1
    time.sleep(0.3)
    assert next(run) == 2 and background.steps <= before
    run.close()
    thread.join()
    assert background.steps == 100


def test_one_handler_may_call_another() -> None:
    work = Work()

    def outer() -> Iterator[int]:
        yield from on_device(work.generator)(2)

    assert list(on_device(outer)()) == [0, 1]


def test_a_refusal_keeps_nothing_of_what_was_refused() -> None:
    def function(text: str) -> None:
        raise UserError(text)

    def generator(text: str) -> Iterator[int]:
        yield 1
        raise UserError(text)

    for refused in (lambda: toast(function)("No."), lambda: list(toast(generator)("No."))):
        with pytest.raises(gr.Error, match=r"No\.") as refusal:
            refused()
        assert refusal.value.__cause__ is None and refusal.value.__context__ is None  # their frames hold files
