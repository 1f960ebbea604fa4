"""Long work as generators, which yield their progress and return their result."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")
Event = TypeVar("Event")


def finish(work: Generator[Step, None, Result], tell: Callable[[Step], object] = lambda step: None) -> Result:
    """Run a generator to its end and return its result; call `tell` with everything that it yields."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        tell(step)


def map_progress(
    work: Generator[Step, None, Result], function: Callable[[Step], Event], pause: float = 0
) -> Generator[Event, None, Result]:
    """Yield `function` of every step of `work`, return its result, and close `work` when closed.

    Steps that come less than `pause` seconds after the last one that was yielded are left out, unless they are of
    another type.
    """
    last, kind = -math.inf, object
    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            if time.monotonic() - last >= pause or type(step) is not kind:
                last, kind = time.monotonic(), type(step)
                yield function(step)
