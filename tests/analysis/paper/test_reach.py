"""Verdicts on how far the network looks, with and without an untrained network that looks as far."""

from typing import Any

import pytest

from analysis.paper import reach
from analysis.paper.entry import Verdict
from analysis.paper.materials import UNTRAINED, Materials
from promptsr.support.progress import finish

VERDICTS = (Verdict.NOT_REPRODUCED, Verdict.REPRODUCED, Verdict.UNTRAINED_TOO)


@pytest.mark.parametrize(
    ("own", "random", "verdict"), [*zip((0.99, 1.0, 1.0), (1.0, 0.99, 1.0), VERDICTS, strict=True)]
)
def test_global_view(own: float, random: float, verdict: Verdict) -> None:
    assert reach.judge_global({"model": "a", "reached": {"a": own, UNTRAINED: random}}).verdict == verdict


def test_shapes() -> None:
    numbers = {"tokens": 576, "anchors": 9, "shapes": {"coarse": [9, 576], "fine": [576, 9]}}
    assert reach.judge_shapes(numbers).verdict == Verdict.REPRODUCED
    assert reach.judge_shapes({**numbers, "anchors": 36}).verdict == Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(("own", "random", "verdict"), [*zip((4.0, 6.0, 6.0), (6.0, 4.0, 6.0), VERDICTS, strict=True)])
def test_reach_beyond_windows(own: float, random: float, verdict: Verdict) -> None:
    def blocks(distance: float) -> list[dict[str, float]]:
        return [{"distance": 9.0, "window": 5.0}, {"distance": distance, "window": 5.0}]

    assert reach.judge_reach({"reaches": {"a": blocks(own), UNTRAINED: blocks(random)}}).verdict == verdict


def pair(model: str, against: str, low: float | None, high: float | None) -> dict[str, Any]:
    return {"model": model, "against": against, "low": low, "high": high}


@pytest.mark.parametrize(
    ("own", "random", "verdict"),
    [
        ((0.1, 2), (-2, -0.1), Verdict.UNTRAINED_TOO),
        ((0.1, 2), (-2, 0.1), Verdict.REPRODUCED),
        ((-0.1, 2), (-2, -0.1), Verdict.NOT_REPRODUCED),
        ((None, None), (None, None), Verdict.NOT_REPRODUCED),
    ],
)
def test_more_pixels_than_every_opponent(own: tuple[Any, Any], random: tuple[Any, Any], verdict: Verdict) -> None:
    means = [{"model": name, "di": di} for name, di in (("a", 9.0), ("peer", 5.0), (UNTRAINED, 8.0))]
    pairs = [pair("a", "peer", *own), pair("peer", UNTRAINED, *random), pair("a", UNTRAINED, -1, 1)]
    numbers = {"model": "a", "means": means, "differences": pairs, "needs": []}
    ruling = reach.judge_more_pixels(numbers)
    assert ruling.verdict == verdict and ruling.sentence == "Mean DI: a 9.00, peer 5.00, untrained 8.00."
    assert reach.judge_more_pixels({**numbers, "needs": ["Urban100"]}).verdict == Verdict.UNMEASURED


@pytest.mark.parametrize(
    ("own", "random", "verdict"),
    [
        ([1, 2], [1, 2], Verdict.UNTRAINED_TOO),
        ([1, 2], [2, 1], Verdict.REPRODUCED),
        ([2, 1], [1, 2], Verdict.NOT_REPRODUCED),
    ],
)
def test_promptings(own: list[float], random: list[float], verdict: Verdict) -> None:
    means = [{"model": f"row {i}", "di": di} for i, di in enumerate(own)]
    assert reach.judge_promptings({"means": means, "untrained": random, "needs": []}).verdict == verdict


def test_the_control_adds_to_the_result_without_training(materials: Materials) -> None:
    """Behind a bicubic skip an untrained network would add nothing, and every control would be bicubic."""
    found = finish(reach.field(materials)).numbers["reached"]
    assert found["bicubic-x4"] < 0.1 and found[UNTRAINED] == found["small"] == 1
