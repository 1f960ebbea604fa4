"""Long work is written as generators: they yield how far they are, and return what came of it."""

from collections.abc import Callable, Generator
from typing import TypeVar

Step = TypeVar("Step")
Result = TypeVar("Result")


def finish(work: Generator[Step, None, Result], tell: Callable[[Step], object] = lambda step: None) -> Result:
    """Runs a generator to its end and gives its result; `tell` is called with everything that it yields."""
    while True:
        try:
            step = next(work)
        except StopIteration as end:
            result: Result = end.value
            return result
        tell(step)
