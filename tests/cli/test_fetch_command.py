"""`promptsr fetch` without a download: the list of names, and what cannot be fetched."""

from collections.abc import Callable
from typing import Any

import pytest

from promptsr.downloads.catalogue import SOURCES
from tests.support.commands import Run


@pytest.fixture(autouse=True)
def built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of sources is that of the package."""
    monkeypatch.delenv(SOURCES, raising=False)


def test_names_are_listed(
    promptsr: Run, result: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = promptsr("fetch")
    assert code == 0 and promptsr("fetch", "--list") == (0, out, "")
    for word in ("div2k", "3.5 GB", "academic research only", "benchmark.tar", "imdn-x4", "Apache-2.0", "by hand"):
        assert word in out
    assert {"name": "set5", "size": 250112000}.items() <= result("fetch")["names"][2].items()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("manga109", "cannot be fetched, its owners ask for registration: get it from http://www.manga109.org"),
        ("set6", "`promptsr fetch` lists the names"),
    ],
)
def test_what_cannot_be_fetched_is_refused(name: str, hint: str, refused: Callable[..., str]) -> None:
    assert hint in refused("fetch", name)
