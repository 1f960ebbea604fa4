"""Verdicts in words."""

import pytest

from analysis.paper.entry import Measurement, Verdict, rule


@pytest.mark.parametrize(
    ("holds", "needs", "untrained", "label"),
    [
        (True, [], False, "reproduced"),
        (True, [], True, "reproduced, but also true of untrained weights"),
        (False, [], False, "not reproduced"),
        (False, [], True, "not reproduced"),
        (True, ["Urban100"], True, "cannot be measured here: needs Urban100"),
        (False, ["a", "b"], False, "cannot be measured here: needs a and b"),
        (False, ["a", "b", "c"], False, "cannot be measured here: needs a, b and c"),
    ],
)
def test_label(holds: bool, needs: list[str], untrained: bool, label: str) -> None:
    ruling = rule(holds, "because", needs=needs, untrained=untrained)
    assert (ruling.label, ruling.sentence, ruling.needs) == (label, "because", tuple(needs))
    assert (ruling.verdict == Verdict.UNMEASURED) == bool(needs)


def test_measurements_are_joined() -> None:
    both = Measurement({"a": 1}, {"x": [{"n": "1"}]}) | Measurement({"b": 2}, {"y": []})
    assert both.numbers == {"a": 1, "b": 2} and list(both.tables) == ["x", "y"] and both.pictures == {}
