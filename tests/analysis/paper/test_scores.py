"""Verdicts on scores on each side of their thresholds, and the measurement beside the evaluation itself."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from skimage import data

from analysis.paper import scores
from analysis.paper.entry import Verdict
from analysis.paper.materials import prepare
from promptsr import load_model
from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import evaluate
from promptsr.support.progress import finish


def row(method: str, psnr: float, printed: float | None = 27.0, name: str = "Urban100") -> dict[str, Any]:
    return {"model": method.lower(), "method": method, "set": name, "psnr_y": psnr, "printed": printed}


@pytest.mark.parametrize(("psnr", "verdict"), [
    (27.049, Verdict.REPRODUCED), (26.951, Verdict.REPRODUCED),
    (27.051, Verdict.NOT_REPRODUCED), (26.949, Verdict.NOT_REPRODUCED),
])  # fmt: skip
def test_scores_within_the_tolerance_are_reproduced(psnr: float, verdict: Verdict) -> None:
    own = {"scores": [row("PromptSR", psnr), row("IMDN", 26.0, 26.0)], "own": "PromptSR", "needs": []}
    assert scores.judge_own_scores(own).verdict == verdict
    assert scores.judge_other_scores(own).verdict == Verdict.REPRODUCED
    other = {"scores": [row("PromptSR", 20.0), row("IMDN", psnr)], "own": "PromptSR", "needs": []}
    assert scores.judge_other_scores(other).verdict == verdict


def test_what_was_not_measured_is_said() -> None:
    numbers = {"scores": [row("", 25.0, None)], "own": "", "needs": ["Urban100"]}
    assert scores.judge_own_scores(numbers).label == "cannot be measured here: needs Urban100"
    assert scores.judge_other_scores(numbers).verdict == Verdict.UNMEASURED


@pytest.mark.parametrize(("own", "verdict"), [(27.1, Verdict.REPRODUCED), (26.9, Verdict.NOT_REPRODUCED)])
def test_accuracy_is_compared_with_networks_of_the_size(own: float, verdict: Verdict) -> None:
    rivals = [
        {"method": "small", "parameters": 700_000, "psnr_y": 27.0},
        {"method": "large", "parameters": 900_000, "psnr_y": 28.0},
    ]
    numbers = {"own_psnr": own, "own_parameters": 780_000, "rivals": rivals, "accuracy_needs": []}
    ruling = scores.judge_accuracy(numbers)
    assert ruling.verdict == verdict and "large with 28.00 dB" in ruling.sentence


@pytest.mark.parametrize(("other", "verdict"), [(26.9, Verdict.REPRODUCED), (27.0, Verdict.NOT_REPRODUCED)])
def test_best_of_those_shown(other: float, verdict: Verdict) -> None:
    ruling = scores.judge_best({"shown": [row("PromptSR", 27.0), row("IMDN", other)], "needs": []})
    assert ruling.verdict == verdict
    assert ruling.sentence == f"Mean PSNR-Y on Urban100, dB: promptsr 27.00, imdn {other:.2f}."


def test_sets_that_are_here_are_measured_as_evaluate_does(small_x4: Path, tmp_path: Path) -> None:
    hr = tmp_path / "bench" / "Urban100" / "HR"
    hr.mkdir(parents=True)
    Image.fromarray(data.astronaut()[:64, :64]).save(hr / "a.png")
    materials = prepare(
        tmp_path / "out", model=str(small_x4), against=["bicubic-x4"], bench=tmp_path / "bench", quick=True
    )
    assert materials.missing(["Urban100", "Manga109"], ["OmniSR", "HPINet"]) == [
        "Manga109",
        "trained weights of the full network (--model)",
        "weights of OmniSR and HPINet (--against)",
    ]
    found = finish(scores.table_scores(materials, "III", ["Urban100"]))
    [expected] = evaluate(load_model(small_x4), find_pairs(hr, None))
    first = found.numbers["scores"][0]
    assert (first["model"], first["set"]) == ("small", "Urban100")
    assert first["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-6)
    assert found.numbers["needs"] == ["trained weights of the full network (--model)"]
