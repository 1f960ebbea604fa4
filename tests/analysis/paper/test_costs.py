"""Verdicts on costs, for planted numbers and for what thop's convention gives."""

from typing import Any

import pytest

from analysis.paper import costs
from analysis.paper.entry import Verdict
from analysis.paper.materials import Materials
from promptsr.support.progress import finish


@pytest.mark.parametrize(("anchors", "local", "verdict"), [
    (12, 24, Verdict.REPRODUCED), (11, 24, Verdict.NOT_REPRODUCED), (12, 23, Verdict.NOT_REPRODUCED),
])  # fmt: skip
def test_boxes(anchors: int, local: int, verdict: Verdict) -> None:
    assert costs.judge_boxes({"boxes": {"RG": 4, "CPB": 12, "GAPL": anchors, "LPL": local}}).verdict == verdict


def size(method: str, agree: str) -> dict[str, Any]:
    return {"method": method, "scale": 4, "printed": 779_000.0, "by_thop": 779_808, "true": 872_088, "agree": agree}


def test_sizes_of_own_and_other_networks_are_judged_apart() -> None:
    numbers = {"sizes": [size("PromptSR", "thop"), size("IMDN", "both"), size("HPINet", "neither")]}
    own, other = costs.judge_sizes(numbers), costs.judge_other_sizes(numbers)
    assert own.verdict == Verdict.REPRODUCED and "PromptSR ×4 779,808 for 779K" in own.sentence
    assert other.verdict == Verdict.NOT_REPRODUCED
    assert other.sentence == "1 of 2 counts agree with print; not HPINet ×4."
    assert costs.judge_sizes({"sizes": [size("PromptSR*", "neither")]}).verdict == Verdict.NOT_REPRODUCED
    assert costs.judge_other_sizes({"sizes": [size("IMDN", "true")]}).verdict == Verdict.REPRODUCED
    assert costs.judge_other_sizes({"sizes": []}).needs == ("the full form (without --quick)",)


@pytest.mark.parametrize(("exponent", "verdict"), [(1.019, Verdict.REPRODUCED), (1.021, Verdict.NOT_REPRODUCED)])
def test_exponents(exponent: float, verdict: Verdict) -> None:
    found = [{"layer": "GAPL, d = 8", "quantity": "attention", "exponent": exponent, "expected": 1.0}]
    numbers = {"exponents": found, "finding": "It grows."}
    assert costs.judge_exponents(numbers).verdict == costs.judge_linear(numbers).verdict == verdict
    assert costs.judge_linear(numbers).sentence == "It grows."


def test_table_two_is_measured(materials: Materials) -> None:
    found = finish(costs.scaling(materials))
    assert costs.judge_exponents(found.numbers).verdict == Verdict.REPRODUCED
    assert costs.judge_linear(found.numbers).verdict == Verdict.NOT_REPRODUCED


def cost(table: str, method: str, multiply_adds: str) -> dict[str, Any]:
    agree = {"parameters_agree": "thop", "multiply_adds_agree": multiply_adds}
    sizes = {"parameters": 872_088, "multiply_adds": 232.0e9, "explanation": f"{method} is far off."}
    return {"table": table, "method": method, **agree, **sizes}


def test_costs_of_own_and_other_networks_are_judged_apart() -> None:
    numbers = {
        "costs": [cost("III", "SwinIR", "neither"), cost("III", "HPINet", "thop"), cost("III", "PromptSR", "thop")]
    }
    own, other = costs.judge_costs(numbers), costs.judge_other_costs(numbers)
    assert own.verdict == Verdict.REPRODUCED and own.sentence.endswith("the work is PromptSR 232.0G.")
    assert other.verdict == Verdict.NOT_REPRODUCED
    assert other.sentence == "1 of 2 networks that can be built here agree in both figures. SwinIR: SwinIR is far off."
    assert costs.judge_costs({"costs": [cost("V", "d=2", "neither")]}).verdict == Verdict.NOT_REPRODUCED
    assert costs.judge_other_costs({"costs": [cost("III", "IMDN", "both")]}).verdict == Verdict.REPRODUCED
    assert costs.judge_other_costs({"costs": []}).needs == ("the full form (without --quick)",)
