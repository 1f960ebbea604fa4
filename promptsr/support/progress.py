"""Long work is written as generators: they yield how far they are, and return what came of it."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")
Told = TypeVar("Told")


def finish(work: Generator[Step, None, Result], tell: Callable[[Step], object] = lambda step: None) -> Result:
    """Runs a generator to its end and gives its result; `tell` is called with everything that it yields."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        tell(step)


def relay(
    work: Generator[Step, None, Result], retold: Callable[[Step], Told], pause: float = 0
) -> Generator[Told, None, Result]:
    """A generator within another: yields `retold` of what `work` yields, and closes `work` when it is closed itself.

    What comes less than `pause` seconds after the last that was told is kept back.
    """
    told = -math.inf
    with closing(work):
        while True:
            try:
                step = next(work)
            except StopIteration as end:
                result: Result = end.value
                return result
            if time.monotonic() - told >= pause:
                told = time.monotonic()
                yield retold(step)
