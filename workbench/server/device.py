"""One device for everybody: handlers that run a network take turns at it, and give back what they took."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import cache, wraps
from typing import Any

import torch

from promptsr.zoo.memory import return_freed_memory

_DEVICE, _NEXT = threading.Lock(), threading.Lock()
_holder: int | None = None
"""The thread that holds the device."""


@cache
def devices() -> list[str]:
    """Return the names of the devices of this machine that run networks, the CPU first."""
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *mps]


@contextmanager
def _turn() -> Iterator[None]:
    """Hold the device. One who waits for it comes before one who has just given it back: locks alone are not fair."""
    global _holder
    if _holder == threading.get_ident():
        yield
        return
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
                with closing(handler(*args, **options)) as work:
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
            with _turn():
                return handler(*args, **options)
        finally:
            return_freed_memory()

    return function
