"""Long work as generators, which yield their progress and return their result."""

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Generic, TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")
Event = TypeVar("Event")


class _Steps(Generic[Step, Result]):
    """Steps of a generator, and its result after the last one."""

    result: Result

    def __init__(self, work: Generator[Step, None, Result]) -> None:
        self._work = work

    def __iter__(self) -> Iterator[Step]:
        self.result = yield from self._work


def finish(work: Generator[Step, None, Result], tell: Callable[[Step], object] = lambda step: None) -> Result:
    """Run a generator to its end and return its result; call `tell` with everything that it yields."""
    steps = _Steps(work)
    for step in steps:
        tell(step)
    return steps.result


def map_progress(
    work: Generator[Step, None, Result], function: Callable[[Step], Event], pause: float = 0
) -> Generator[Event, None, Result]:
    """Yield `function` of every step of `work`, return its result, and close `work` when closed.

    Steps that come less than `pause` seconds after the last one that was yielded are left out, unless they are of
    another type.
    """
    last, kind, steps = -math.inf, object, _Steps(work)
    with closing(work):
        for step in steps:
            if time.monotonic() - last >= pause or type(step) is not kind:
                last, kind = time.monotonic(), type(step)
                yield function(step)
    return steps.result
