"""The sentences say what planted numbers mean: finding, no finding, not separated."""

from dataclasses import replace

import pytest

from analysis.anchors.findings import differ, findings, separates
from analysis.anchors.separation import Separation, Separations

CLEAR = Separation(silhouette=0.5, knn=1.0, chance=0.25, p_value=0.001, low=0.23, high=0.27, probe=1.0)
PART = Separation(silhouette=0.0, knn=0.4, chance=0.1, p_value=0.001, low=0.08, high=0.12, probe=0.5)
NONE = Separation(silhouette=-0.1, knn=0.11, chance=0.1, p_value=0.3, low=0.08, high=0.12, probe=0.1)


def told(trained: tuple[Separation, Separation], untrained: tuple[Separation, Separation]) -> list[str]:
    """Findings for groups and for categories at one group."""
    return findings(Separations(trained[0], trained[1:]), [Separations(untrained[0], untrained[1:])])


def test_what_random_weights_do_too_is_no_finding() -> None:
    groups, categories, _ = told((CLEAR, PART), (CLEAR, replace(PART, knn=0.38)))
    assert groups == (
        "The residual groups separate (k-NN 100 %, chance 25 %, p = 0.001), but so do those of untrained weights "
        "(k-NN 100 %, p = 0.001): no finding about training."
    )
    assert "k-NN 40 %, chance 10 %" in categories and "38 %" in categories and "no finding" in categories


def test_what_only_training_does_is_a_finding() -> None:
    groups, categories, paper = told((CLEAR, NONE), (replace(NONE, chance=0.25, knn=0.26), NONE))
    assert "separate (k-NN 100 %" in groups and "more than those of untrained weights (k-NN 26 %, p = 0.3)" in groups
    assert groups.endswith("a finding about training.")
    assert categories == "The categories at group 1 do not separate (k-NN 11 %, chance 10 %, p = 0.3)."
    assert paper == "In this network the groups do cleanly, and the categories do not; as the paper says."


def test_what_training_takes_away_is_said() -> None:
    blurred, gone, paper = told((replace(CLEAR, knn=0.6), NONE), (CLEAR, PART))
    assert "less than those of untrained weights (k-NN 100 %" in blurred and "no finding" not in blurred
    assert gone.startswith("The categories at group 1 do not separate") and "untrained weights do (k-NN 40 %" in gone
    assert "the groups do not do so cleanly" in paper and "as the paper says" not in paper


def test_a_small_lead_over_random_weights_is_no_finding() -> None:
    weak = replace(NONE, knn=0.14, p_value=0.004)
    _, categories, paper = told((CLEAR, weak), (CLEAR, NONE))
    assert "hardly more than those of untrained weights" in categories and "no finding" in categories
    assert "beyond chance at every group, though not cleanly (k-NN up to 14 %)" in paper


def test_paper_sentence_names_the_groups() -> None:
    trained = Separations(CLEAR, (NONE, PART, replace(PART, knn=0.5)))
    paper = findings(trained, [trained])[4]
    assert "at groups 2 and 3, though not cleanly (k-NN up to 50 %)" in paper
    clean = Separations(CLEAR, (replace(PART, knn=0.96), NONE))
    assert "at group 1, and at best cleanly (k-NN up to 96 %)" in findings(clean, [clean])[3]
    one = Separations(CLEAR, (NONE, PART))
    assert "at group 2, though not cleanly (k-NN up to 40 %)" in findings(one, [one])[3]


def test_update_on_and_off() -> None:
    on, off = Separations(CLEAR, (PART, NONE)), Separations(replace(CLEAR, silhouette=0.3), (NONE, PART))
    first, second, same = findings(on, [on], off)[-3:]
    assert "the categories at group 1 separate better: k-NN 40 % with it and 11 % without" in first
    assert "the categories at group 2 separate worse: k-NN 11 % with it" in second
    assert "no difference" in same and "residual groups 100 % with it and 100 % without" in same
    assert "0.50 and 0.30" in same and "categories" not in same  # where k-NN has nothing left to say
    [nothing] = findings(on, [on], on)[4:]
    assert nothing.count("with it") == 3


def test_several_draws_of_random_weights() -> None:
    def said(knn: float, *draws: float) -> str:
        controls = [Separations(CLEAR, (replace(PART, knn=each),)) for each in draws]
        return findings(Separations(CLEAR, (replace(PART, knn=knn),)), controls)[1]

    assert "more than those of untrained weights (k-NN 20 to 24 % in 3 draws): a finding" in said(0.33, 0.2, 0.24, 0.21)
    # beyond the best draw, but by less than the draws are apart
    assert "so do those of untrained weights (k-NN 15 to 24 % in 3 draws): no finding" in said(0.32, 0.24, 0.15, 0.2)
    assert "no finding" in said(0.22, 0.2, 0.24, 0.21) and "blurred" in said(0.11, 0.2, 0.24, 0.21)
    assert "(k-NN 20 % in 3 draws)" in said(0.33, 0.2, 0.201, 0.199)
    assert "no finding" in said(0.26, 0.24, 0.239, 0.238)  # by less than the permutation intervals explain


def test_networks_of_several_alpha() -> None:
    a, b = Separations(CLEAR, (NONE,)), Separations(replace(CLEAR, knn=0.99), (PART,))
    groups, categories = findings(a, [a], None, [(0.0, a), (0.01, b)])[-2:]
    assert "separate equally well: k-NN 100 % with 0, k-NN 99 % with 0.01; no finding." in groups
    assert "separate best with alpha 0.01: k-NN 11 % with 0, k-NN 40 % with 0.01." in categories
    assert findings(a, [a], None, [(0.0, a)]) == findings(a, [a])  # one network is no comparison


@pytest.mark.parametrize(
    ("knn", "half_width", "expected"), [(0.49, 0.01, False), (0.51, 0.01, True), (0.51, 0.1, False)]
)
def test_two_accuracies_differ_beyond_a_margin_and_beyond_chance(knn: float, half_width: float, expected: bool) -> None:
    a, b = (replace(PART, knn=each, low=0.1 - half_width, high=0.1 + half_width) for each in (0.4, knn))
    assert differ(a, b) is expected and differ(b, a) is expected


def test_separates_at_one_percent() -> None:
    assert separates(replace(PART, p_value=0.01)) and not separates(replace(PART, p_value=0.011))
