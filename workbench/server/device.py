"""One device for everybody: handlers that run a network take turns at it, and give back what they took."""

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache, wraps
from typing import Any

import torch

from promptsr.zoo.memory import return_freed_memory

_TOKEN = threading.RLock()


@cache
def devices() -> list[str]:
    """Return the names of the devices of this machine that run networks, the CPU first."""
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count())), *mps]


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
                        with _TOKEN:
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
            with _TOKEN:
                return handler(*args, **options)
        finally:
            return_freed_memory()

    return function
