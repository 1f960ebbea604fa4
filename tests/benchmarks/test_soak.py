"""The soak's arithmetic, on planted records."""

from pathlib import Path

import pytest

from benchmarks.soak_report import (
    Broken,
    Sample,
    broken_off,
    light_seconds,
    memory_at_rest,
    memory_at_work,
    overlapping,
    report,
)
from benchmarks.soak_server import Pass, read_passes
from benchmarks.soak_users import Record


def samples(memory: list[float], requests_each: int) -> list[Sample]:
    return [Sample(0.1 * i, requests_each * i, each, 10, i, 2.0 * i) for i, each in enumerate(memory)]


def record(kind: str, asked: float, started: float | None, ended: float, event: str = "", **more: float) -> Record:
    return Record(kind, asked, ended, started, event, "answered", **more)  # type: ignore[arg-type]


def test_growth_at_work_is_that_from_the_first_to_the_last_third() -> None:
    found = memory_at_work(samples([700 + 0.5 * i for i in range(90)], 4))
    assert found.slope == pytest.approx(0.5 / 4 * 100)
    assert (found.warm, found.end) == (700 + 0.5 * 14.5, 700 + 0.5 * 74.5)
    assert found.percent == pytest.approx(100 * (737.25 / 707.25 - 1))


def test_peaks_are_no_growth() -> None:
    found = memory_at_work(samples([700.0 if i % 5 else 1500.0 for i in range(90)], 1))
    assert (found.warm, found.end, found.percent) == (700, 700, 0)


def test_growth_at_rest_is_that_after_the_warm_up() -> None:
    found = memory_at_rest(samples([500, 800, 832], 400))
    assert found.percent == pytest.approx(4) and found.slope == 8
    assert memory_at_rest(samples([500, 800, 800], 0)).slope == 0


def test_passes_of_two_requests_that_overlap() -> None:
    turns = [Pass("a", 0, 1), Pass("a", 1, 2), Pass("b", 2, 3), Pass("a", 3, 4)]
    assert overlapping(turns) == 0
    assert overlapping([*turns, Pass("b", 3.5, 5)]) == 1
    assert overlapping([Pass("a", 0, 1), Pass("a", 0.5, 2)]) == 0  # one request may do as it likes
    assert overlapping([Pass("a", 0, 9), Pass("b", 1, 2), Pass("c", 3, 4)]) == 2


def test_waits_after_a_cancel_are_told_in_tiles() -> None:
    records = [
        record("cancel", 0, 1, 5, "a", cut_at=4.5),
        record("upscale", 2, 5.5, 8, "b"),
        record("drop", 2, None, 3, "c", cut_at=3),  # it never had its turn
        record("cancel", 9, 9.5, 11, "d", cut_at=10.5),  # nobody came afterwards
    ]
    passes = [Pass("a", 1 + i, 1.5 + i) for i in range(5)] + [Pass("b", 5.5, 6), Pass("d", 9.5, 10)]
    assert broken_off(records, passes) == [Broken(tiles=1, wait=2.0)]


def test_light_requests_count_while_a_heavy_one_runs() -> None:
    records = [record("upscale", 0, 2, 4), record("page", 1, None, 2), record("page", 3, None, 6)]
    assert light_seconds(records) == {"page": [3.0]}


def test_report_names_what_went_wrong() -> None:
    records = [record("lam", 0, 1, 3, "a"), Record("upscale", 0, 9, 2, "b", "wrong", "HTTP 500")]
    text = report(
        records, [Pass("a", 1, 3)], samples([100.0 + i for i in range(20)], 1), "Head.", samples([90.0, 95.0, 96.9], 1)
    )
    assert "2 requests; 0 documented refusals, 1 answers that are not as documented.\n- upscale: HTTP 500" in text
    assert "| lam | 1 |  |  |  |  | 3.00 | 2.00 |" in text
    assert "95 after the warm-up (1 requests) and 97 at the end (2): +2.0 % (limit 5 %), +190.00 per 100" in text
    assert "102 in the first third of the time after the warm-up, 116 in the last (medians): +13.7 %" in text


def test_passes_are_read_as_they_were_written(tmp_path: Path) -> None:
    (tmp_path / "passes.txt").write_text("abc 1.5 2.25\nNone 3 4\n")
    assert read_passes(tmp_path / "passes.txt") == [Pass("abc", 1.5, 2.25), Pass("None", 3.0, 4.0)]
