"""The full form on planted faults: each is counted, and what caused it is kept."""

from pathlib import Path

import pytest

from tests.fuzz.runner import Figures, fuzz


def planted(name: str, kept: Path, seconds: float) -> Figures:
    return fuzz("tests.fuzz.planted:TARGETS", name, seconds, kept, patience=2)


def test_refusals_are_no_failures(tmp_path: Path) -> None:
    found = planted("sound", tmp_path, 1)
    assert found.failed == 0 and 0 < found.taken < found.tried
    assert list(tmp_path.iterdir()) == []


def test_other_errors_silence_and_memory_are_failures(tmp_path: Path) -> None:
    found = planted("wrong", tmp_path, 3)
    assert 0 < found.failed == found.tried - found.taken
    kept = {path.name.partition("-")[0] + path.read_text() for path in tmp_path.glob("*.input")}
    assert kept == {"KeyError1", "TypeError3", "AssertionError5", "AssertionError7", "MemoryError9"}
    assert "KeyError: 1" in next(tmp_path.glob("KeyError*.txt")).read_text()


@pytest.mark.parametrize(
    ("name", "content", "cause"), [("crashing", "file", "ended by SIGSEGV"), ("hanging", "7", "hung for 2 s")]
)
def test_a_process_that_ends_or_hangs_is_one_failure(tmp_path: Path, name: str, content: str, cause: str) -> None:
    found = planted(name, tmp_path, 0.2)
    assert (found.tried, found.taken, found.failed) == (1, 0, 1)
    [path] = tmp_path.glob("*.input")
    assert (path.read_text(), path.with_suffix(".txt").read_text()) == (content, cause)


def test_a_target_that_cannot_start_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nothing could not be started: exited with 1"):
        planted("nothing", tmp_path, 0.2)
