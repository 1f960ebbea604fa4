"""The verdict on failure cases."""

import pytest

from analysis.paper.cases import judge_artefacts
from analysis.paper.entry import Verdict


@pytest.mark.parametrize(
    ("kinds", "verdict"),
    [
        (["artefact", "artefact", "blur"], Verdict.REPRODUCED),
        (["artefact", "blur"], Verdict.NOT_REPRODUCED),
        ([], Verdict.NOT_REPRODUCED),
    ],
)
def test_most_losses_are_artefacts(kinds: list[str], verdict: Verdict) -> None:
    balance = [{"opponent": "peer", "lost": 2, "won": 5, "drawn": 1}]
    ruling = judge_artefacts({"kinds": kinds, "balance": balance, "needs": []})
    assert ruling.verdict == verdict and "against peer 2 windows are lost, 5 won, 1 drawn" in ruling.sentence
