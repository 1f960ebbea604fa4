"""Targets with planted faults, to see that the full form finds them."""

import os
import signal
import time
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.target import Target


def sound(number: int, _: Path) -> None:
    if number % 2:
        raise ValueError("it is odd")


def wrong(number: int, _: Path) -> None:
    """Half of the inputs are wrong, each in its own way."""
    faults = {1: KeyError(number), 3: TypeError("another kind"), 5: ValueError(""), 7: AssertionError("too large")}
    if number in faults:
        raise faults[number]
    if number == 9:
        bytes(2**40)


def crashes(data: bytes, _: Path) -> None:
    time.sleep(0.5)  # so that it is tried once
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(number: int, _: Path) -> None:
    time.sleep(60)


TARGETS = [
    Target("sound", st.integers(0, 9), sound, ValueError),
    Target("wrong", st.integers(0, 9), wrong, ValueError),
    Target("crashing", st.just(b"file"), crashes, ValueError),
    Target("hanging", st.just(7), hangs, ValueError),
]
