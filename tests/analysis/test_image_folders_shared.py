"""The studies `failures` and `lam-study`: a bad file costs nothing else, ranks share the images, and a killed run is
resumed.
"""

import io
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.support.ranks import COUNTED, run_ranks

SHARED = ("photos", "--model", "counted:build", "--out", "out")
STUDIES = {
    "failures": ("failures", *SHARED, "--window", "16"),
    "lam-study": ("lam-study", *SHARED, "--patch", "19", "--window", "8", "--steps", "2", "--per-image", "1"),
}


def start(
    folder: Path, *command: str, ranks: int = 1, code: int = 2, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a study in a process of its own, or in several."""
    return run_ranks(folder, "analysis", *command, "--json", "-", ranks=ranks, code=code, **environment)


def results(folder: Path, done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON and the tables, but for the seconds of maps."""
    found: dict[str, Any] = {"json": json.loads(done.stdout, parse_constant=pytest.fail)}
    for path in sorted((folder / "out").glob("*.csv")):
        table = pd.read_csv(io.BytesIO(path.read_bytes()))
        found[path.name] = table.drop(columns="seconds", errors="ignore").to_csv()
    if (folder / "out" / "report.html").exists():
        found["report"] = (folder / "out" / "report.html").read_text()
    return found


@pytest.mark.parametrize("study", STUDIES)
def test_a_killed_study_goes_on_with_any_number_of_ranks(study: str, tmp_path: Path) -> None:
    command, rng = STUDIES[study], np.random.default_rng(0)
    (tmp_path / "counted.py").write_text(COUNTED)
    (tmp_path / "photos").mkdir()
    for i in range(4):
        waves = 128 + 100 * np.sin(np.indices((40, 38, 3)).sum(0) / (i + 2)) + rng.normal(0, 9, (40, 38, 3))
        width = 36 if study == "failures" else 38
        Image.fromarray(waves.clip(0, 255).astype(np.uint8)[:, :width]).save(tmp_path / "photos" / f"{i}.png")
    whole = (tmp_path / "photos" / "3.png").read_bytes()
    (tmp_path / "photos" / "2-cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "photos" / "empty.jpg").touch()
    Image.new("RGB", (9, 90)).save(tmp_path / "photos" / "[b]small[-b].png")
    seen, log = tmp_path / "seen.txt", tmp_path / "out" / "finished"

    straight = start(tmp_path, *command)
    expected, calls = results(tmp_path, straight), len(seen.read_text())
    assert list(expected["json"]["skipped"]) == ["2-cut.png", "[b]small[-b].png", "empty.jpg"]
    for name in expected["json"]["skipped"]:
        assert straight.stderr.count(f"Error: {name} was left out: ") == 1
    assert "Error: 3 of 7 images were left out; see above." in straight.stderr
    assert expected["json"]["images"] == 4 and calls % 4 == 0
    each = calls // 4

    for path in log.iterdir():
        path.unlink()
    seen.unlink()
    start(tmp_path, *command, code=-signal.SIGKILL, KILLED_AT=str(2 * each + 1))  # with two finished
    assert len(list(log.iterdir())) == 2

    seen.unlink()
    shared = start(tmp_path, *command, ranks=2, code=1)  # torchrun knows no other
    assert results(tmp_path, shared) == expected
    assert len(seen.read_text()) == 2 * each  # the one under way, and another one
    assert all(shared.stderr.count(f"Error: {name} was left out: ") == 1 for name in expected["json"]["skipped"])

    seen.unlink()
    [first, *_] = log.iterdir()
    first.write_bytes(first.read_bytes()[:100])  # after a power cut
    assert results(tmp_path, start(tmp_path, *command)) == expected
    assert len(seen.read_text()) == each
