"""Findings of an anchor study in plain sentences, with what its numbers do not show.

The paper reads from its Fig. 11 that anchor prompts separate by residual group and not by image category. Random
weights make features too: whatever untrained weights do equally well is not counted as a finding about training.
"""

from collections.abc import Sequence
from math import hypot

from analysis.anchors.separation import Separation, Separations

LEVEL = 0.01
"""Labels separate if the permutation test gives this p-value or less: strict, since a study makes several tests."""
LEAST_DIFFERENCE = 0.1
"""k-NN accuracies of two trained networks closer than this are the same, however many points there are: with the
categories of 240 crops, five draws of random weights for promptsr-tiny-x4 were up to 0.095 apart."""
CLEAN = 0.95
"""Least k-NN accuracy at which labels separate cleanly, as the paper says of the residual groups."""


def findings(
    trained: Separations,
    untrained: Sequence[Separations],
    update_off: Separations | None = None,
    alphas: Sequence[tuple[float, Separations]] = (),
) -> list[str]:
    """State one sentence for each question; every claim stands beside chance and its control.

    The trained network differs from random weights if it lies beyond all draws of them, by more than these are apart
    and by more than chance makes of it: the half widths of two permutation intervals, added as squares. With a single
    draw, and between trained networks, `differ` asks for 10 percentage points.

    Args:
        trained: the network as it was trained.
        untrained: the same network with random weights, drawn one or several times.
        update_off: the same weights without the anchor prompt update (eq. 8), if there is one to switch off.
        alphas: networks trained with several alpha of that update.
    """
    told = [
        _against_untrained(name, mine, [each.by_question[name] for each in untrained])
        for name, mine in trained.by_question.items()
    ]
    told.append(_paper(trained))
    if update_off:
        told += _update(trained, update_off)
    if len(alphas) > 1:
        shared = min((each.by_question for _, each in alphas), key=len)
        told += [_alphas(name, [(alpha, each.by_question[name]) for alpha, each in alphas]) for name in shared]
    return told


def separates(found: Separation) -> bool:
    """True if labels are told apart beyond chance."""
    return found.p_value <= LEVEL


def differ(a: Separation, b: Separation, least: float = LEAST_DIFFERENCE) -> bool:
    """True if two k-NN accuracies of the same points differ by more than chance and more than `least`."""
    by_chance = hypot(a.high - a.low, b.high - b.low) / 2
    return abs(a.knn - b.knn) > max(least, by_chance)


def _figures(found: Separation) -> str:
    return f"k-NN {found.knn:.0%}, chance {found.chance:.0%}, p = {found.p_value:.2g}".replace("%", " %")


def _share(found: Separation) -> str:
    return f"{100 * found.knn:.0f} %"


def _against_untrained(name: str, trained: Separation, untrained: Sequence[Separation]) -> str:
    ranked = sorted(untrained, key=lambda each: each.knn)
    worst, best = ranked[0], ranked[-1]
    apart = best.knn - worst.knn if len(untrained) > 1 else LEAST_DIFFERENCE
    more = trained.knn > best.knn and differ(trained, best, apart)
    less = trained.knn < worst.knn and differ(trained, worst, apart)
    control = f"k-NN {_share(best)}, p = {best.p_value:.2g}"
    if len(untrained) > 1:
        least = f"{100 * worst.knn:.0f} to " if _share(worst) != _share(best) else ""
        control = f"k-NN {least}{_share(best)} in {len(untrained)} draws"
    if not separates(trained):
        start = f"The {name} do not separate ({_figures(trained)})"
        if separates(worst) and less:
            return f"{start}, but those of untrained weights do ({control}): training took that away."
        return f"{start}."
    start = f"The {name} separate ({_figures(trained)})"
    if less:
        return f"{start}, but less than those of untrained weights ({control}): training blurred them."
    if more:
        return f"{start}, more than those of untrained weights ({control}): evidence of learning."
    if not separates(best):
        how = "hardly more than those of untrained weights"
    elif trained.knn > best.knn:
        how = "only modestly better than those of untrained weights"
    else:
        how = "so do those of untrained weights"
    return f"{start}, but {how} ({control}): no evidence of learning."


def _paper(trained: Separations) -> str:
    clean = trained.groups.knn >= CLEAN and separates(trained.groups)
    told_apart = [i for i, found in enumerate(trained.categories, start=1) if separates(found)]
    groups = "the groups separate cleanly" if clean else "the groups do not separate cleanly"
    if not told_apart:
        categories = "the categories do not separate"
    else:
        best = max(trained.categories[i - 1].knn for i in told_apart)
        numbers = " and ".join(map(str, told_apart))
        many = f"at group {numbers}" if len(told_apart) == 1 else f"at groups {numbers}"
        where = "at every group" if len(told_apart) == len(trained.categories) else many
        how = "and at best cleanly" if best >= CLEAN else "though not cleanly"
        categories = f"the categories separate beyond chance {where}, {how} (k-NN up to {100 * best:.0f} %)"
    holds = "as the paper says" if clean and not told_apart else "the paper says: groups separate, categories do not"
    return f"In this network {groups}, and {categories}; {holds}."


def _update(on: Separations, off: Separations) -> list[str]:
    """State a sentence for each question in which the update matters, and one for all others together."""
    told, same = [], []
    for name, with_it in on.by_question.items():
        without = off.by_question[name]
        figures = f"{_share(with_it)} with it and {_share(without)} without"
        if differ(with_it, without):
            how = "better" if with_it.knn > without.knn else "worse"
            told.append(
                f"With the anchor prompt update the {name} separate {how}: k-NN {figures}, in the same weights."
            )
        else:
            same.append(f"{name} {figures}{_silhouettes(with_it, without)}")
    if same:
        told.append(f"The anchor prompt update makes no difference, in the same weights, to k-NN of {', '.join(same)}.")
    return told


def _silhouettes(a: Separation, b: Separation) -> str:
    """Add the silhouettes, which have no test here, where k-NN is too near 1 to tell the two apart."""
    if min(a.knn, b.knn) < CLEAN:
        return ""
    return f" (silhouette, which has no test: {a.silhouette:.2f} and {b.silhouette:.2f})"


def _alphas(name: str, found: Sequence[tuple[float, Separation]]) -> str:
    figures = ", ".join(f"k-NN {_share(each)} with {alpha:g}" for alpha, each in found)
    start = f"Of networks trained with different alpha, one of each, the {name}"
    least, most = min(found, key=lambda each: each[1].knn), max(found, key=lambda each: each[1].knn)
    if differ(least[1], most[1]):
        return f"{start} separate best with alpha {most[0]:g}: {figures}."
    return f"{start} separate equally well: {figures}."
