"""The sentences say what planted numbers mean: finding, no finding, not separated."""

from dataclasses import replace

import pytest

from analysis.anchors.findings import differ, findings
from analysis.anchors.separation import Separation, Separations

CLEAR = Separation(silhouette=0.5, knn=1.0, chance=0.25, p_value=0.001, low=0.23, high=0.27, probe=1.0)
PART = Separation(silhouette=0.0, knn=0.4, chance=0.1, p_value=0.001, low=0.08, high=0.12, probe=0.5)
NONE = Separation(silhouette=-0.1, knn=0.11, chance=0.1, p_value=0.3, low=0.08, high=0.12, probe=0.1)
WEAK = replace(NONE, knn=0.14, p_value=0.01)
"""Separates just beyond chance, at the least strict p-value."""


def of_categories(trained: Separation, *draws: Separation) -> str:
    """The sentence on categories at group 1."""
    return findings(Separations(CLEAR, (trained,)), [Separations(CLEAR, (each,)) for each in draws])[1]


@pytest.mark.parametrize(
    ("trained", "untrained", "says"),
    [
        (
            PART,
            replace(PART, knn=0.38),
            "but only modestly better than those of untrained weights (k-NN 38 %, p = 0.001): no evidence of learning",
        ),
        (PART, NONE, "more than those of untrained weights (k-NN 11 %, p = 0.3): evidence of learning"),
        (PART, CLEAR, "but less than those of untrained weights (k-NN 100 %, p = 0.001): training blurred them"),
        (PART, PART, "but so do those of untrained weights (k-NN 40 %, p = 0.001): no evidence of learning"),
        (WEAK, NONE, "but hardly more than those of untrained weights (k-NN 11 %, p = 0.3): no evidence of learning"),
    ],
)
def test_what_separates_is_held_against_random_weights(trained: Separation, untrained: Separation, says: str) -> None:
    start = f"The categories at group 1 separate (k-NN {100 * trained.knn:.0f} %, chance 10 %, p = {trained.p_value:g}"
    assert of_categories(trained, untrained) == f"{start}), {says}."


def test_what_does_not_separate() -> None:
    start = "The categories at group 1 do not separate (k-NN 11 %, chance 10 %, p = 0.3)"
    assert of_categories(NONE, NONE) == f"{start}."
    assert of_categories(replace(WEAK, p_value=0.011), NONE).startswith("The categories at group 1 do not separate")
    gone = ", but those of untrained weights do (k-NN 40 %, p = 0.001): training took that away."
    assert of_categories(NONE, PART) == start + gone


@pytest.mark.parametrize(
    ("knn", "draws", "says"),
    [
        (0.33, (0.2, 0.24, 0.21), "more than those of untrained weights (k-NN 20 to 24 % in 3 draws): evidence"),
        # beyond the best draw, but by less than the draws are apart
        (
            0.32,
            (0.24, 0.15, 0.2),
            "only modestly better than those of untrained weights (k-NN 15 to 24 % in 3 draws): no evidence",
        ),
        (0.22, (0.2, 0.24, 0.21), "no evidence"),
        (0.11, (0.2, 0.24, 0.21), "blurred"),
        (0.33, (0.2, 0.201, 0.199), "(k-NN 20 % in 3 draws)"),
        (0.26, (0.24, 0.239, 0.238), "no evidence"),  # by less than the permutation intervals explain
    ],
)
def test_several_draws_of_random_weights(knn: float, draws: tuple[float, ...], says: str) -> None:
    assert says in of_categories(replace(PART, knn=knn), *(replace(PART, knn=each) for each in draws))


@pytest.mark.parametrize(
    ("groups", "categories", "says"),
    [
        (
            CLEAR,
            [NONE],
            "In this network the groups separate cleanly, and the categories do not separate; as the paper says.",
        ),
        (
            replace(CLEAR, knn=0.6),
            [NONE],
            "the groups do not separate cleanly, and the categories do not separate; the paper says",
        ),
        (CLEAR, [WEAK], "beyond chance at every group, though not cleanly (k-NN up to 14 %)"),
        (CLEAR, [NONE, PART, replace(PART, knn=0.5)], "at groups 2 and 3, though not cleanly (k-NN up to 50 %)"),
        (CLEAR, [replace(PART, knn=0.96), NONE], "at group 1, and at best cleanly (k-NN up to 96 %)"),
        (CLEAR, [NONE, PART], "at group 2, though not cleanly (k-NN up to 40 %)"),
    ],
)
def test_the_papers_sentence(groups: Separation, categories: list[Separation], says: str) -> None:
    trained = Separations(groups, tuple(categories))
    assert says in findings(trained, [trained])[-1]


def test_update_on_and_off() -> None:
    on, off = Separations(CLEAR, (PART, NONE)), Separations(replace(CLEAR, silhouette=0.3), (NONE, PART))
    first, second, same = findings(on, [on], off)[-3:]
    assert "the categories at group 1 separate better: k-NN 40 % with it and 11 % without" in first
    assert "the categories at group 2 separate worse: k-NN 11 % with it" in second
    assert "no difference" in same and "residual groups 100 % with it and 100 % without" in same
    assert "0.50 and 0.30" in same and "categories" not in same  # where k-NN cannot tell the two apart
    [nothing] = findings(on, [on], on)[4:]
    assert nothing.count("with it") == 3


def test_networks_of_several_alpha() -> None:
    a, b = Separations(CLEAR, (NONE,)), Separations(replace(CLEAR, knn=0.99), (PART,))
    groups, categories = findings(a, [a], None, [(0.0, a), (0.01, b)])[-2:]
    assert "separate equally well: k-NN 100 % with 0, k-NN 99 % with 0.01." in groups
    assert "separate best with alpha 0.01: k-NN 11 % with 0, k-NN 40 % with 0.01." in categories
    assert findings(a, [a], None, [(0.0, a)]) == findings(a, [a])  # one network is no comparison


@pytest.mark.parametrize(
    ("knn", "half_width", "expected"), [(0.49, 0.01, False), (0.51, 0.01, True), (0.51, 0.1, False)]
)
def test_two_accuracies_differ_beyond_a_margin_and_beyond_chance(knn: float, half_width: float, expected: bool) -> None:
    a, b = (replace(PART, knn=each, low=0.1 - half_width, high=0.1 + half_width) for each in (0.4, knn))
    assert differ(a, b) is expected and differ(b, a) is expected
