"""The comparison with another commit and with a busy process, in its smallest form."""

import csv
from pathlib import Path

import pytest

from benchmarks.against import HERE, measure, table, worktree
from promptsr.support.errors import UserError
from tests.benchmarks.conftest import Start


def test_every_job_in_every_situation(tmp_path: Path, start: Start) -> None:
    jobs = ["upscaling 16", "attribution 16", "training 1 16"]
    options = [option for job in jobs for option in ("--job", job)]
    sizes = ("--seconds", 0.1, "--turns", 1, "--threads", 1)
    start("against.py", *sizes, *options, "--output", tmp_path).check_returncode()
    with (tmp_path / "against.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["job"], row["neighbour"]) for row in rows] == [
        (job, beside) for job in jobs for beside in ("False", "True")
    ]
    assert all(float(row["seconds"]) > 0 and row["commit"] == HERE for row in rows)
    assert "--job 'training 1 16'" in (tmp_path / "against.md").read_text()


def test_figures_follow_from_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone 2 s against 1 s; beside a busy process 4 s each."""
    seconds = {("old", False): [1.0, 2.0, 3.0], (HERE, False): [1.0], ("old", True): [4.0], (HERE, True): [4.0]}
    monkeypatch.setattr(
        "benchmarks.against.passes",
        lambda tree, job, threads, seconds_each, neighbour: seconds[tree.name, neighbour],
    )
    rows = measure({"old": Path("old"), HERE: Path(HERE)}, ["upscaling 16"], 2, 1, 1)
    found = {(row.commit, row.neighbour): (row.seconds, row.share_of_alone, row.speed_ratio) for row in rows}
    assert found[HERE, False] == (1, 1, 2) and found[HERE, True] == (4, 0.25, 1)
    assert found["old", False] == (2, 1, 1) and found["old", True] == (4, 0.5, 1)
    assert "| upscaling 16 | this checkout | yes | 4 | 0.25 | 1.00 |" in table(rows)


def test_an_unknown_commit_is_refused() -> None:
    with pytest.raises(UserError, match="git has no commit nonsense here"), worktree("nonsense"):
        pass
