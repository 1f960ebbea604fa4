"""One thing that is fuzzed: where its inputs come from, what must hold for each, and the error that may refuse it."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

MOST_SECONDS = 10.0
"""Processor time for one input, many times what any should take."""
MOST_MEMORY = 2**28
"""Bytes by which one input may raise the peak memory of the process."""


@dataclass(frozen=True)
class Target:
    """A property that holds for every input that is not refused."""

    name: str
    inputs: Callable[[], st.SearchStrategy[Any]]
    """Called at the first use, since valid files take time to make."""
    check: Callable[[Any, Path], None]
    """Takes an input and a folder for files. Raises an error of `refusals` if the input is refused, and any other
    if the property does not hold."""
    refusals: type[Exception]
    """The documented error."""
    quick: int = 25
    """Number of inputs of the quick form."""
    suffix: str = ""
    """If given, inputs are bytes, and `check` takes the path of a file with this suffix that holds them."""


def attempt(target: Target, case: Any, folder: Path) -> bool:
    """Return whether the input was taken rather than refused.

    Raises:
        Exception: the property does not hold.
        AssertionError: that, too much time or memory, or a refusal without a message or for lack of memory.
    """
    begun, before = time.process_time(), _peak()
    if target.suffix:
        path = folder / f"input{target.suffix}"
        path.write_bytes(case)
        case = path
    try:
        target.check(case, folder)
        taken = True
    except target.refusals as error:
        assert str(error).strip(), "the refusal says nothing"
        assert not _ran_out(error.__cause__), f"memory ran out during the work: {error.__cause__}"
        taken = False
    seconds, more = time.process_time() - begun, _peak() - before
    assert seconds < MOST_SECONDS, f"took {seconds:.1f} s"
    assert more < MOST_MEMORY, f"took {more:,} bytes"
    return taken


def _peak() -> int:
    """Peak memory of this process, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ran_out(cause: BaseException | None) -> bool:
    if cause is None:
        return False
    import pyvips  # both take long to load, and tests of the runner need neither

    from promptsr.zoo.memory import is_out_of_memory

    # libtiff reports it for tables without entries, and Python for a length in a pickle: neither takes any memory.
    return is_out_of_memory(cause) and not isinstance(cause, pyvips.Error | MemoryError)
