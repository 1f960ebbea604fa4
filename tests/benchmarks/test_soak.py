"""The soak's verdict, on planted records."""

from pathlib import Path

import pytest

from benchmarks.served import Pass, overlapping, read_passes
from benchmarks.soak import Record, report


def test_passes_of_two_requests_that_overlap() -> None:
    turns = [Pass("a", 0, 1), Pass("a", 1, 2), Pass("b", 2, 3), Pass("a", 3, 4)]
    assert overlapping(turns) == 0
    assert overlapping([*turns, Pass("b", 3.5, 5)]) == 1
    assert overlapping([Pass("a", 0, 1), Pass("a", 0.5, 2)]) == 0  # one request may do as it likes
    assert overlapping([Pass("a", 0, 9), Pass("b", 1, 2), Pass("c", 3, 4)]) == 2


def test_passes_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "passes.txt").write_text("abc 1.5 2.25\nNone 3 4\n")
    assert read_passes(tmp_path / "passes.txt") == [Pass("abc", 1.5, 2.25), Pass("None", 3.0, 4.0)]


@pytest.mark.parametrize(
    ("wrong", "passes", "memory", "good"),
    [
        (None, [Pass("a", 1, 3)], [500, 800, 839], True),
        ("HTTP 500", [Pass("a", 1, 3)], [500, 800, 800], False),
        (None, [Pass("a", 1, 3), Pass("b", 2, 4)], [500, 800, 800], False),
        (None, [], [500, 800, 841], False),
    ],
)
def test_a_wrong_answer_an_overlap_and_growth_are_failures(
    wrong: str | None, passes: list[Pass], memory: list[float], good: bool
) -> None:
    record = Record()
    for seconds in (1.0, 3.0, 2.0):
        record.add("lam", seconds)
    record.add("upscale", 4, wrong)
    text, verdict = report(record, passes, memory, "Head.")
    assert verdict == good
    assert "| lam | 3 | 2.00 | 2.90 |" in text and "4 requests" in text
    assert ("- upscale: HTTP 500" in text) == (wrong is not None)
    assert f"{100 * (memory[2] / memory[1] - 1):+.1f} % (limit 5 %)" in text
