"""How long models take is remembered, also for the next start, and told for the same models and ways alone."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptsr.support.files import CACHE
from workbench.sessions import speed
from workbench.sessions.speed import expected, remember


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache."""
    monkeypatch.setenv(CACHE, str(tmp_path))
    speed._rates.cache_clear()
    yield tmp_path
    speed._rates.cache_clear()


def test_the_last_run_tells_of_the_next(folder: Path) -> None:
    assert expected(["a"], "auto", 100) == {}
    remember("a", "auto", 100_000, 900.0)
    remember("a", "auto", 100_000, 500.0)
    remember("b", "auto", 10_000, 1000.0)
    remember("a", "auto", 9_999, 1.0)  # too little to tell
    assert expected(["a", "bicubic", "b"], "auto", 200) == pytest.approx({"a": 1.0, "b": 20.0})
    assert expected(["a"], "whole", 200) == expected(["a", "c"], "auto", 200) == {}
    speed._rates.cache_clear()  # as at the next start
    assert expected(["a", "b"], "auto", 200) == pytest.approx({"a": 1.0, "b": 20.0})


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "no JSON", '{"seconds": 3}', '{"machine": "another", "seconds": {"a\\nauto": 1}}'),
        *('{"machine": "%s", "seconds": {"a\\nauto": -1}}', '{"machine": "%s", "seconds": {"a\\nauto": "x"}}'),
    ],
)
def test_what_is_not_of_this_machine_is_ignored(folder: Path, content: str) -> None:
    (folder / "speeds.json").write_text(content.replace("%s", platform.node()))
    assert expected(["a"], "auto", 100) == {}
    remember("a", "auto", 10_000, 10_000.0)
    speed._rates.cache_clear()
    assert expected(["a"], "auto", 100) == {"a": 100}


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE, str(tmp_path / "file"))
    remember("a", "auto", 10_000, 10_000.0)
    assert expected(["a"], "auto", 2) == {"a": 2}


def test_the_latest_rates_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MOST", 3)
    for index in (0, 1, 2, 0, 3):
        remember(str(index), "auto", 10_000, 1.0)
    assert [bool(expected([str(index)], "auto", 1)) for index in range(4)] == [True, False, True, True]
