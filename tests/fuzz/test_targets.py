"""All that is fuzzed: the same few inputs every time, or new ones for FUZZ_MINUTES in all (`make fuzz`)."""

import os
import resource
import secrets
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz import archives, checkpoints, documents, images, upscaling
from tests.fuzz.target import Target, attempt

TARGETS = [*images.TARGETS, *upscaling.TARGETS, *checkpoints.TARGETS, *documents.TARGETS, *archives.TARGETS]
MINUTES = float(os.environ.get("FUZZ_MINUTES", 0))
MORE_MEMORY = 2**31
"""Bytes of address space that new inputs may take beyond what the process has before the first."""

pytestmark = pytest.mark.filterwarnings("ignore")  # damaged files are also warned of
each_target = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@each_target
def test_nothing_but_documented_errors(target: Target, tmp_path: Path) -> None:
    taken = []

    @settings(max_examples=target.quick, suppress_health_check=list(HealthCheck))
    @given(target.inputs())
    def holds(case: Any) -> None:
        taken.append(attempt(target, case, tmp_path))

    holds()
    assert len(taken) >= target.quick // 2
    assert target.name in ("decode-spliced", "model-name") or 0 < sum(taken) < len(taken), "all is taken, or refused"


if MINUTES:

    @pytest.mark.timeout(60 * MINUTES / len(TARGETS) + 60, method="thread")  # ends the process, whatever hangs
    @each_target
    def test_new_inputs(target: Target, tmp_path: Path) -> None:
        """An input that fails, hangs or ends the process stays in outputs/fuzz."""
        current = Path("outputs") / "fuzz" / f"{target.name}-{os.getpid()}.input"
        current.parent.mkdir(parents=True, exist_ok=True)
        counts: Counter[bool] = Counter()

        @given(target.inputs())
        @settings(
            max_examples=300, phases=[Phase.generate], database=None, derandomize=False,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def holds(case: Any) -> None:
            if time.monotonic() > end:
                return
            current.write_bytes(case if isinstance(case, bytes) else repr(case).encode(errors="backslashreplace"))
            counts[attempt(target, case, tmp_path)] += 1

        end = time.monotonic() + 60 * MINUTES / len(TARGETS)
        with bounded_memory():
            while time.monotonic() < end:
                seed(secrets.randbits(64))(holds)()
        current.unlink()
        print(f"{target.name}: {counts[True]} inputs taken, {counts[False]} refused")


@contextmanager
def bounded_memory() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MORE_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def odd_is_refused(number: int, _: Path) -> None:
    if number % 2:
        raise ValueError("it is odd" if number < 9 else "")
    if number == 4:
        raise KeyError(number)


def test_only_an_error_that_says_something_is_a_refusal(tmp_path: Path) -> None:
    target = Target("odd", lambda: st.integers(0, 9), odd_is_refused, ValueError)
    assert [attempt(target, case, tmp_path) for case in (2, 3)] == [True, False]
    for case, error in ((4, KeyError), (9, AssertionError)):
        with pytest.raises(error):
            attempt(target, case, tmp_path)
