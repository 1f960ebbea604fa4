"""The full form: each target in a process of its own, so that a crash or a hang is one more finding.

What fails is kept as a file, with a text beside it that says how.
"""

import hashlib
import multiprocessing
import os
import resource
import secrets
import signal
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import MutableSequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.fuzz.target import MOST_SECONDS, Target, attempt, place_of, stored

MORE_MEMORY = 2**31
"""Address space in bytes that a process may take beyond what it has before the first input."""
_ROUND = 300
"""Inputs from one seed."""
_KEPT = 5
"""Inputs of the same cause that are kept."""
_TAKEN, _REFUSED, _FAILED, _BEGUN = range(4)
"""What parent and child share: what became of inputs, and when the one at work was begun (0 before the first)."""


@dataclass(frozen=True)
class Figures:
    """What came of fuzzing one target."""

    name: str
    tried: int
    taken: int
    failed: int
    """What was neither taken nor failed was refused with the documented error."""
    seconds: float


def fuzz(where: str, name: str, seconds: float, kept: Path, patience: float = 3 * MOST_SECONDS) -> Figures:
    """Fuzzes one target.

    Args:
        where: `module:list` of the targets.
        name: of the target in it.
        seconds: how long; the start of the process is not counted.
        kept: folder for inputs that failed.
        patience: seconds after which an input hangs.

    Raises:
        RuntimeError: the process ended before its first input.
    """
    context = multiprocessing.get_context("spawn")
    numbers = context.Array("d", 4, lock=False)
    spent = 0.0
    while spent < seconds:
        with tempfile.TemporaryDirectory() as folder:
            numbers[_BEGUN] = 0
            arguments = (where, name, Path(folder), kept, numbers)
            process = context.Process(target=_work, args=arguments, daemon=True)
            process.start()
            spent_here, ending = _watch(process, numbers, seconds - spent, patience)
            spent += spent_here
            if numbers[_BEGUN] == 0:
                raise RuntimeError(f"{name} could not be started: {ending}")
            if ending is not None:
                numbers[_FAILED] += 1
                _keep(kept, (Path(folder) / "current").read_bytes(), ending.replace(" ", "-"), ending)
    return Figures(name, _tried(numbers), int(numbers[_TAKEN]), int(numbers[_FAILED]), spent)


def _tried(numbers: MutableSequence[float]) -> int:
    return int(numbers[_TAKEN] + numbers[_REFUSED] + numbers[_FAILED])


def _watch(
    process: BaseProcess, numbers: MutableSequence[float], seconds: float, patience: float
) -> tuple[float, str | None]:
    """Ends a process when its time is over. Gives the seconds of its work, and how it ended if before its time."""
    ending, last, started = None, None, time.monotonic()
    while ending is None:
        process.join(0.05)
        now = time.monotonic()
        begun = numbers[_BEGUN]
        if begun == 0:  # still importing
            started = now
        if not process.is_alive():
            code = process.exitcode or 0
            ending = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        elif begun and now - begun > patience:
            ending = f"hung for {patience:.0f} s"
        elif now - started > seconds:  # the input at work is seen to its end
            last = _tried(numbers) if last is None else last
            if _tried(numbers) > last:
                break
    process.kill()
    process.join()
    return time.monotonic() - started, ending


def _work(where: str, name: str, folder: Path, kept: Path, numbers: MutableSequence[float]) -> None:
    """Tries inputs until it is killed, or its parent is."""
    parent = os.getppid()
    target: Target = next(each for each in resolve_name(where) if each.name == name)
    causes: Counter[str] = Counter()
    files = folder / "files"
    files.mkdir()

    def one(case: Any) -> None:
        if os.getppid() != parent:
            os._exit(0)
        data = stored(case)
        (folder / "current").write_bytes(data)
        numbers[_BEGUN] = time.monotonic()
        try:
            taken = attempt(target, case, files)
            numbers[_TAKEN if taken else _REFUSED] += 1
        except Exception as error:
            cause = place_of(error)
            causes[cause] += 1
            if causes[cause] <= _KEPT:
                _keep(kept, data, cause, traceback.format_exc())
            numbers[_FAILED] += 1  # last: once it is counted, the parent may end this process

    endless = settings(
        max_examples=_ROUND, phases=[Phase.generate], database=None, deadline=None, derandomize=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    target.inputs.validate()  # makes the sound files
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MORE_MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while True:
        seed(secrets.randbits(64))(endless(given(target.inputs)(one)))()


def _keep(folder: Path, data: bytes, cause: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{cause}-{hashlib.sha256(data).hexdigest()[:8]}"
    path.with_name(f"{path.name}.input").write_bytes(data)
    path.with_name(f"{path.name}.txt").write_text(text)
