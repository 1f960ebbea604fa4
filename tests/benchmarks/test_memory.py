"""The benchmark of memory: what a fresh process tells about itself, and the exponent."""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fresh_process, memory
from benchmarks.passes import Settings
from promptsr.support.errors import UserError
from tests.benchmarks.conftest import Invoke

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads memory as Linux tells it")

PLANTED = """
from benchmarks.fresh_process import resident
before, _ = resident()
held = b"x" * 200_000_000
del held
print(before, *resident())
"""


def test_peak_of_a_process_is_what_it_held_itself() -> None:
    ballast = np.ones(90_000_000)  # 720 MB of this process, which must not show in the other
    done = subprocess.run([sys.executable, "-c", PLANTED], capture_output=True, text=True, check=True)
    before, after, peak = map(int, done.stdout.split())
    assert ballast.nbytes > peak > before + 199_000_000  # Linux counts in batches of pages
    assert after < before + 100_000_000


def test_a_fresh_process_holds_what_the_network_makes() -> None:
    found = fresh_process.measure("imdn", 120, 100, Settings(1))
    # The results of six blocks, of 64 channels each, and their concatenation are there at once.
    assert found.peak > found.before + 2 * 6 * 64 * 4 * 120 * 100
    assert found.before <= found.peak_before < found.peak < 1e9


def test_failure_of_the_fresh_process_is_told() -> None:
    with pytest.raises(UserError, match="imdn failed on 8 x 0"):
        fresh_process.measure("imdn", 8, 0, Settings(1))


def test_exponent_of_planted_growth() -> None:
    pixels = [side**2 for side in (128, 192, 256, 384)]
    assert memory.fit(pixels, [0.003 * count**1.07 for count in pixels]) == pytest.approx((1.07, 0.003))
    # By least squares, factors that cancel out leave the exponent alone.
    assert memory.fit([1, 10, 100], [2.0, 2 * 10**0.8, 2 * 10**1.0])[0] == pytest.approx(0.5)


def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Invoke) -> None:
    def measure(name: str, height: int, width: int, settings: Settings) -> fresh_process.Memory:
        assert (name, height, settings) == ("promptsr-x4", width, Settings(2))
        return fresh_process.Memory(300 * 10**6, 320 * 10**6, 300 * 10**6 + 5000 * height * width)

    monkeypatch.setattr(fresh_process, "measure", measure)
    invoke(memory.app, "--sides", "100,200,400", "--threads", 2, "--output", tmp_path)
    with (tmp_path / "memory.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["growth_mb"]) for row in rows] == [50, 200, 800]
    assert [float(row["peak_mb"]) for row in rows] == [350, 500, 1100]
    assert {(row["before_mb"], row["peak_before_mb"]) for row in rows} == {("300.0", "320.0")}
    assert "to the power of 1.00" in (tmp_path / "memory.md").read_text()
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("sides", ["128", "128,128", "128,big", "128,-64", ""])
def test_sides_that_give_no_exponent_are_refused(sides: str) -> None:
    with pytest.raises(UserError, match="--sides takes two or more"):
        memory.memory(sides=sides)


def test_an_image_too_small_to_be_the_peak_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh_process, "measure", lambda *_: fresh_process.Memory(300, 400, 400))
    with pytest.raises(UserError, match="16 x 16 takes imdn less memory"):
        memory.measure("imdn", [16, 32], Settings(1))
