"""One thing that is fuzzed: where its inputs come from, what must hold for each, and what it may refuse with."""

import resource
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

MOST_SECONDS = 10.0
"""Processor time for one input, many times what any should take."""
MOST_MEMORY = 2**28
"""By how many bytes one input may raise the peak of the process."""


@dataclass(frozen=True)
class Target:
    """A property that holds for every input that is not refused."""

    name: str
    inputs: st.SearchStrategy[Any]
    check: Callable[[Any, Path], None]
    """Takes an input and a folder for files. Raises what `refusals` names if the input is refused, and anything else
    if the property does not hold."""
    refusals: type[Exception]
    """The documented error."""
    quick: int = 25
    """Inputs of the quick form."""


def attempt(target: Target, case: Any, folder: Path) -> bool:
    """Whether the input was taken rather than refused.

    Raises:
        Exception: the property does not hold.
        AssertionError: that, too much time or memory, or a refusal that says nothing or came when memory ran out.
    """
    begun, before = time.process_time(), _peak()
    try:
        target.check(case, folder)
        taken = True
    except target.refusals as error:
        assert str(error).strip(), "the refusal says nothing"
        assert not _ran_out(error.__cause__), f"it was begun, and memory ran out: {error.__cause__}"
        taken = False
    seconds, more = time.process_time() - begun, _peak() - before
    assert seconds < MOST_SECONDS, f"took {seconds:.1f} s"
    assert more < MOST_MEMORY, f"took {more:,} bytes"
    return taken


def _peak() -> int:
    """Of the memory of this process, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ran_out(cause: BaseException | None) -> bool:
    if cause is None:
        return False
    import pyvips  # both take long to load, and tests of the runner need neither

    from promptsr.zoo.memory import is_out_of_memory

    # libtiff says so of tables of no entries, and Python of a length in a pickle: neither takes any memory.
    return is_out_of_memory(cause) and not isinstance(cause, pyvips.Error | MemoryError)


def stored(case: Any) -> bytes:
    """An input as it is kept: the bytes themselves, or the Python expression of anything else."""
    return case if isinstance(case, bytes) else repr(case).encode(errors="backslashreplace")


def place_of(error: BaseException) -> str:
    """Kind and line of an error, by which failures of the same cause are told."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}-{Path(frame.filename).stem}-{frame.lineno}"
