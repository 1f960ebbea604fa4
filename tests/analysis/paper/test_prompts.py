"""Verdicts on the t-SNE of anchor prompts, with untrained networks on each side."""

from typing import Any

import pytest

from analysis.paper.entry import Verdict
from analysis.paper.prompts import GROUPS, judge_categories, judge_groups


def separation(knn: float, p_value: float) -> dict[str, Any]:
    return {
        **{"silhouette": 0.5, "knn": knn, "chance": 0.25, "p_value": p_value},
        **{"low": 0.2, "high": 0.3, "probe": None},
    }


YES, WEAK, NO = separation(0.99, 0.001), separation(0.9, 0.001), separation(0.99, 0.02)


@pytest.mark.parametrize(
    ("own", "controls", "verdict"),
    [
        (YES, [YES, YES], Verdict.UNTRAINED_TOO),
        (YES, [YES, WEAK], Verdict.REPRODUCED),
        (WEAK, [YES, YES], Verdict.NOT_REPRODUCED),
        (NO, [YES, YES], Verdict.NOT_REPRODUCED),
    ],
)
def test_groups(own: dict[str, Any], controls: list[dict[str, Any]], verdict: Verdict) -> None:
    numbers = {"trained": {GROUPS: own}, "controls": [{GROUPS: each} for each in controls]}
    assert judge_groups(numbers).verdict == verdict


@pytest.mark.parametrize(
    ("first", "middle", "last", "random", "verdict"),
    [
        (NO, YES, NO, NO, Verdict.UNTRAINED_TOO),  # the paper shows the first and the last group
        (NO, NO, NO, WEAK, Verdict.REPRODUCED),
        (NO, NO, WEAK, NO, Verdict.NOT_REPRODUCED),
        (WEAK, NO, NO, NO, Verdict.NOT_REPRODUCED),
    ],
)
def test_categories(first: Any, middle: Any, last: Any, random: Any, verdict: Verdict) -> None:
    names = [f"categories at group {group}" for group in (1, 2, 3)]
    numbers = {
        "trained": {GROUPS: YES, **dict(zip(names, (first, middle, last), strict=True))},
        "controls": [dict.fromkeys([GROUPS, *names], random)],
        "needs": [],
    }
    assert judge_categories(numbers).verdict == verdict
    assert judge_categories({**numbers, "needs": ["images"]}).verdict == Verdict.UNMEASURED
