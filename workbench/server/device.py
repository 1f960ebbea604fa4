"""One device for everybody: handlers that run a network take turns at it, and give back what they took."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache, wraps
from typing import Any

import torch

from promptsr.zoo.memory import return_freed_memory

_DEVICE, _NEXT = threading.Lock(), threading.Lock()
_holder: int | None = None
"""The thread that holds the device."""
_WORK = threading.Condition()
_people = {"asking": 0, "waiting": 0}
"""Those who have asked for a handler, and those who wait for what is made in the background."""


class _Thread(threading.local):
    in_background = False


_thread = _Thread()


@cache
def devices() -> list[str]:
    """Return the names of the devices of this machine that run networks, the CPU first."""
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *mps]


@contextmanager
def in_background() -> Iterator[None]:
    """Let no step of this thread's handlers begin while somebody asks for another one, unless one here is `awaited`."""
    _thread.in_background = True
    try:
        yield
    finally:
        _thread.in_background = False


def awaited() -> AbstractContextManager[None]:
    """Wait for what may be made in the background: it takes its turns as everybody, as long as this lasts."""
    return _counted("waiting")


@contextmanager
def _counted(what: str) -> Iterator[None]:
    """Count somebody in `_people`, unless this thread is in the background."""
    people = not _thread.in_background
    with _WORK:
        _people[what] += people
        _WORK.notify_all()
    try:
        yield
    finally:
        with _WORK:
            _people[what] -= people
            _WORK.notify_all()


@contextmanager
def _turn() -> Iterator[None]:
    """Hold the device. One who waits for it comes before one who has just given it back: locks alone are not fair."""
    global _holder
    if _holder == threading.get_ident():
        yield
        return
    if _thread.in_background:
        with _WORK:
            _WORK.wait_for(lambda: not _people["asking"] or _people["waiting"])
    with _NEXT:
        _DEVICE.acquire()
    _holder = threading.get_ident()
    try:
        yield
    finally:
        _holder = None
        _DEVICE.release()


def on_device(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Make a handler (function or generator) hold the device while it works; a generator lends it between steps.

    Gradio's queue starts one such handler after the other. But it counts a cancelled one as ended while the step that
    it was at, a tile or a pass, still runs in its thread: without this, the next would run beside it.
    """
    if inspect.isgeneratorfunction(handler):

        @wraps(handler)
        def generator(*args: Any, **options: Any) -> Iterator[Any]:
            try:
                with _counted("asking"), closing(handler(*args, **options)) as work:
                    while True:
                        with _turn():
                            try:
                                step = next(work)
                            except StopIteration:
                                return
                        yield step
            finally:
                return_freed_memory()

        return generator

    @wraps(handler)
    def function(*args: Any, **options: Any) -> Any:
        try:
            with _counted("asking"), _turn():
                return handler(*args, **options)
        finally:
            return_freed_memory()

    return function
