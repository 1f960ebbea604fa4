"""Failure cases (Fig. 9): the windows where the model loses most, and by which kind of error."""

from collections.abc import Generator

from analysis.common.each_image import ImageLog
from analysis.comparison.figure import draw_comparison
from analysis.failures.report import write_report
from analysis.failures.search import find_failures
from analysis.paper.entry import Measurement, Numbers, Ruling, rule
from analysis.paper.materials import Materials
from promptsr.support.progress import map_progress

_SETS = ("Urban100", "Manga109")
_MAJORITY = 0.5


def failures(materials: Materials) -> Generator[str, None, Measurement]:
    """Run `python -m analysis failures` on the sets of the figure, or on the photographs; draw the worst case."""
    out = materials.out / "failures"
    pairs = {hr: (hr, lr) for name in _SETS for hr, lr in materials.pairs(name)}
    work = find_failures(
        materials.model,
        materials.against,
        list(pairs.values()),
        window=materials.sizes.case,
        log=ImageLog(out / "finished"),
    )
    found = yield from map_progress(work, lambda step: step.image)
    write_report(found, out)
    worst = found.cases[:1]
    lines = [
        {
            "image": case.image,
            "place": f"{case.x}, {case.y}",
            "kind": case.kind,
            "loss (dB)": f"{case.loss_db:.2f}",
            "against": case.against,
        }
        for case in found.cases
    ]
    return Measurement(
        {
            "kinds": [case.kind for case in found.cases],
            "balance": found.balance.to_dict("records"),
            "needs": materials.missing(_SETS, ["ATD-light"]),
        },
        {f"Windows that {found.model} loses, the greatest loss first": lines} if lines else {},
        {f"The greatest loss, in {case.image}": draw_comparison(case.surroundings, case.inset, case.image)
         for case in worst},
    )  # fmt: skip


def judge_artefacts(numbers: Numbers) -> Ruling:
    """Rule on the claim that where the model loses, it adds artefacts."""
    kinds = numbers["kinds"]
    artefacts = kinds.count("artefact")
    lost = "; ".join(
        f"against {row['opponent']} {row['lost']} windows are lost, {row['won']} won, {row['drawn']} drawn"
        for row in numbers["balance"]
    )
    sentence = f"Artefacts cause {artefacts} of the {len(kinds)} greatest losses, blur the others; {lost}."
    return rule(artefacts > _MAJORITY * len(kinds), sentence, needs=numbers["needs"])
