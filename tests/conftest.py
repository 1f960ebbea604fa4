"""Shared by all tests: quiet libraries, fair use of the processor, the shared images, the browser."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

# Workers share the processor. Set in the environment before torch and numpy load, so that subprocesses inherit it.
WORKERS = os.environ.get("PYTEST_XDIST_WORKER_COUNT")
if WORKERS or "OMP_NUM_THREADS" not in os.environ:
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // int(WORKERS or 1)))
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"]
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

from tests.offline import sitecustomize as offline  # noqa: E402

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
hypothesis.settings.register_profile("promptsr", deadline=None, max_examples=25, derandomize=True)
hypothesis.settings.load_profile("promptsr")

pytest_plugins = ["tests.support.commands"]

OFFLINE = str(Path(__file__).parent / "offline")
"""On PYTHONPATH it keeps programs from reaching other machines."""
QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
"""Keeps Gradio's client, which users' programs import, from reporting its use to other hosts."""
SLOW = {
    *("workbench", "notebooks", "training", "cli", "benchmarks", "fuzz", "downloads"),
    *("test_build.py", "test_memory.py", "test_package.py", "test_contributing.py", "test_offline.py"),
}
"""Folders and files of tests that `make check` leaves out."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def find_shared_data() -> tuple[Path | None, str]:
    """Return the folder that PROMPTSR_DATA names, if it holds data/, and a line for the report."""
    value = os.environ.get("PROMPTSR_DATA")
    if not value:
        return None, "missing: set PROMPTSR_DATA to the folder that holds data/"
    folder = Path(value).resolve()
    if not (folder / "data").is_dir():
        return None, f"missing: PROMPTSR_DATA={value} holds no data/ folder"
    return folder, str(folder)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow files and run them first, so that no worker is left with one at the end."""
    tests = Path(__file__).parent
    for item in items:
        parts = item.path.relative_to(tests).parts
        if not SLOW.isdisjoint(parts) or parts[-1].endswith("command.py"):
            item.add_marker("slow")
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_report_header() -> str:
    """State at the top of every run whether the tests on shared images can run."""
    return f"shared images: {find_shared_data()[1]}"


@pytest.fixture(scope="session", autouse=True)
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Refuse and record requests of this process and its subprocesses to other machines; return the record."""
    record = tmp_path_factory.mktemp("outside") / "asked.txt"
    record.touch()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # behind one on this machine there would be others
    os.environ[offline.RECORD] = str(record)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (OFFLINE, os.environ.get("PYTHONPATH"))))
    offline.guard(str(record))
    return record


@pytest.fixture(autouse=True)
def only_this_machine_is_asked(outside: Path) -> Iterator[None]:
    """Fail every test that sent a request to another machine."""
    yield
    asked = outside.read_text().split()
    outside.write_text("")
    assert asked == []


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that holds data/bench/Set5 etc.; without it the test is skipped."""
    folder, reason = find_shared_data()
    if folder is None:
        pytest.skip(f"shared images {reason}")
    return folder


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of an installed Chromium or Chrome; without it the test is skipped."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    pytest.skip(f"no browser: install one of {', '.join(BROWSERS)}")


@pytest.fixture(scope="session")
def tracked_files() -> tuple[Path, ...]:
    """The files that git tracks or would track; outside of a checkout the test is skipped."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        pytest.skip("not a git checkout: which files belong to the project is unknown")
    listing = subprocess.run(
        ["git", "-c", f"safe.directory={root}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    names = set(filter(None, listing.stdout.split("\0")))
    return tuple(path for name in sorted(names) if (path := root / name).is_file())
