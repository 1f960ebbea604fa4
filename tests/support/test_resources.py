"""Free memory, as a system and its control groups tell it."""

from pathlib import Path

import pytest

from promptsr.support import resources
from promptsr.support.resources import free_memory

MEMINFO = "MemTotal: 9000 kB\nMemFree: 10 kB\nMemAvailable: 4000 kB\nSwapFree: 1000 kB\nHugePages_Total: 0\n"


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, file in (("_SYSTEM", "meminfo"), ("_OWN_GROUPS", "cgroup"), ("_GROUPS", "groups")):
        monkeypatch.setattr(resources, name, tmp_path / file)
    (tmp_path / "meminfo").write_text(MEMINFO, encoding="ascii")
    return tmp_path


def group(folder: Path, limit: str, names: tuple[str, str, str], cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(("limit", "used", "cached"), (limit, "700000", f"anon 5\n{names[2]} {cached}"), strict=True):
        (folder / f"memory.{dict(limit=names[0], used=names[1], cached='stat')[name]}").write_text(text + "\n")


V2 = ("max", "current", "inactive_file")
V1 = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")


def test_without_groups_it_is_what_is_available_and_swap(system: Path) -> None:
    assert free_memory() == 5000 * 1024
    (system / "meminfo").unlink()
    assert free_memory() is None


@pytest.mark.parametrize(("own", "names", "top"), [("0::/a/b", V2, "groups"), ("4:memory:/a/b", V1, "groups/memory")])
def test_the_narrowest_group_above_counts(system: Path, own: str, names: tuple[str, str, str], top: str) -> None:
    (system / "cgroup").write_text(f"1:cpu:/x\n{own}\n", encoding="ascii")
    group(system / top / "a" / "b", "max" if names is V2 else "9223372036854771712", names, 0)
    assert free_memory() == 5000 * 1024
    group(system / top / "a", "1000000", names, 1234)
    assert free_memory() == 1000000 - 700000 + 1234
    group(system / top, "600000", names, 0)  # what a container sees of its own group
    assert free_memory() == 0
