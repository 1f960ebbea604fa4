"""`python -m analysis complexity`: what it prints and writes, and what it refuses before any work."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis.complexity.paper_networks import has_spandrel
from analysis.complexity.scaling import LAYERS
from promptsr.imaging import Picture, encode


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The JSON and the output folder of one whole run, exactly as a user's shell starts it."""
    folder = tmp_path_factory.mktemp("complexity")
    rng = np.random.default_rng(0)
    encode(Picture(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)), folder / "HR" / "noise.png")
    options = ["--model", "promptsr-tiny-x4", "--hr", str(folder / "HR"), "--set", "Set5"]
    command = [sys.executable, "-m", "analysis", "complexity", *options, "--out", str(folder / "out"), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), folder / "out"


def test_table_three(run: tuple[dict[str, Any], Path]) -> None:
    result, out = run
    rows = {row["method"]: row for row in result["table_three"]}
    assert len(rows) == 10 and rows["PromptSR"]["printed_multiply_adds"] == 53.5e9
    assert rows["PromptSR"]["published_parameters"] == 779_808 and rows["PromptSR"]["parameters"] == 872_088
    assert rows["OmniSR"]["multiply_adds_agree"] == ("thop" if has_spandrel() else None)
    assert rows["promptsr-tiny-x4"]["printed_parameters"] is None
    written = pd.read_csv(out / "complexity.csv")
    assert written["method"].tolist() == [row["method"] for row in result["table_three"] + result["ablations"]]
    assert written["published_multiply_adds"].iloc[-1] == result["ablations"][-1]["published_multiply_adds"]


def test_table_two(run: tuple[dict[str, Any], Path]) -> None:
    result, out = run
    exponents = {(line["layer"], line["quantity"]): line for line in result["scaling"]}
    assert [exponents[layer, "attention"]["exponent"] for layer in LAYERS] == pytest.approx([2, 1, 1, 2])
    assert all(exponents[layer, "seconds"]["error"] > 0 for layer in LAYERS)
    assert "GAPL grows as HW^1.00 while" in result["finding"]
    written = pd.read_csv(out / "table_two.csv").set_index(["layer", "quantity"])["exponent"]
    assert set(written.index) == set(exponents) and written["SA", "maps"] == pytest.approx(2)


def test_figures(run: tuple[dict[str, Any], Path]) -> None:
    result, out = run
    assert {path.name for path in out.iterdir()} == {"complexity.csv", "fig_1b.png", "scaling.png", "table_two.csv"}
    for name in ("fig_1b.png", "scaling.png"):
        picture = np.asarray(Image.open(out / name).convert("RGB"))
        assert picture.shape[0] > 1000 and picture.std() > 5 and (picture[0, 0] == 255).all()
    own = [point for point in result["accuracy"] if point["model"] == "promptsr-tiny-x4"]
    assert [point["origin"] for point in own] == ["measured"]
    assert own[0]["psnr_y"] < 20  # of the noise, not of the bundled score on Set5
    assert "IMDN" in {point["model"] for point in result["accuracy"]}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--set", "Set15"], "Set5, Set14"),
        (["--hr", "somewhere"], "--model"),
        (["--lr", "somewhere"], "--hr"),
        (["--model", "bicubic-x4", "--hr", "nowhere"], "nowhere"),
        (["--model", "bicubic-x4", "--model", "bicubic-x2"], "one scale"),
        (["--out", "FILE/below"], "is a file, not a folder"),
        (["--json", "FILE/below.json"], "is a file, not a folder"),
    ],
)
def test_bad_requests(arguments: list[str], hint: str, refused: Callable[..., None]) -> None:
    refused(hint, "complexity", *arguments)
