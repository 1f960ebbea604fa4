"""The t-SNE of anchor prompts (Fig. 11), with random weights as a control."""

from collections.abc import Generator, Iterable

import numpy as np

from analysis.anchors.export import write_study
from analysis.anchors.figure import draw_numbers, draw_tsne
from analysis.anchors.findings import CLEAN, separates
from analysis.anchors.image_folders import find_image_set
from analysis.anchors.separation import Separation
from analysis.anchors.study import TRAINED, analyse, collect_variants
from analysis.paper.entry import Measurement, Numbers, Ruling, rule
from analysis.paper.materials import Materials
from promptsr.support.progress import map_progress

GROUPS = "residual groups"


def prompts(materials: Materials) -> Generator[str, None, Measurement]:
    """Run `python -m analysis anchors`; keep its files in the folder `anchors`."""
    sizes, out = materials.sizes, materials.out / "anchors"
    images = find_image_set(materials.crops)
    plans = (materials.plans[name][:8] for name in ("model", "categories"))  # a folder holds one collection
    work = collect_variants(materials.model, images, out / "-".join(["collected", *plans]))
    collected = yield from map_progress(work, lambda step: step.name)
    measuring = analyse(collected, perplexity=sizes.perplexity, permutations=sizes.permutations)
    study = yield from map_progress(measuring, lambda step: step.name)
    write_study(study, out)
    controls = [found for name, found in study.features.items() if name.startswith("untrained")]
    questions = list(study.features[TRAINED].by_question)
    numbers: Numbers = {
        "images": len(study.points[TRAINED].files),
        "classes": len(np.unique(study.points[TRAINED].categories)),
        "trained": {name: found.to_dict() for name, found in study.features[TRAINED].by_question.items()},
        "controls": [{name: found.by_question[name].to_dict() for name in questions} for found in controls],
        "needs": [] if materials.categories else ["images sorted by category (--categories)"],
    }
    lines = [
        {
            "separated by": name,
            "k-NN": _percent(study.features[TRAINED].by_question[name].knn),
            "chance": _percent(study.features[TRAINED].by_question[name].chance),
            "untrained, k-NN": _range(controls_of(numbers, name)),
        }
        for name in questions
    ]
    return Measurement(
        numbers,
        {f"Leave-one-out k-NN accuracy of the prompts of {numbers['images']} images": lines},
        {
            "Anchor prompts in the plane, as in Fig. 11": draw_tsne(study.points[TRAINED], study.planes),
            "How well they separate": draw_numbers({name: study.features[name] for name in study.shown}),
        },
    )


def controls_of(numbers: Numbers, question: str) -> list[Separation]:
    """Return the separation of each draw of untrained weights."""
    return [Separation(**each[question]) for each in numbers["controls"]]


def _range(found: Iterable[Separation]) -> str:
    values = sorted(each.knn for each in found)
    return " to ".join(dict.fromkeys((_percent(values[0]), _percent(values[-1]))))


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def judge_groups(numbers: Numbers) -> Ruling:
    """Rule on the claim that prompts of different residual groups separate cleanly."""
    own, controls = Separation(**numbers["trained"][GROUPS]), controls_of(numbers, GROUPS)
    clean = [each.knn >= CLEAN and separates(each) for each in (own, *controls)]
    sentence = (
        f"k-NN tells the groups apart in {_percent(own.knn)} of the cases, chance {_percent(own.chance)}; in "
        f"{len(controls)} untrained networks {_range(controls)}."
    )
    return rule(clean[0], sentence, untrained=all(clean[1:]))


def judge_categories(numbers: Numbers) -> Ruling:
    """Rule on the claim that categories do not separate in the first and the last group."""
    last = max(int(name.rpartition(" ")[2]) for name in numbers["trained"] if name != GROUPS)
    shown = [f"categories at group {group}" for group in (1, last)]
    own = [Separation(**numbers["trained"][name]) for name in shown]
    controls = [each for name in shown for each in controls_of(numbers, name)]
    found = ", ".join(
        f"{name.removeprefix('categories at ')} {_percent(each.knn)} (chance {_percent(each.chance)}, p = "
        f"{each.p_value:.2g})"
        for name, each in zip(shown, own, strict=True)
    )
    return rule(
        not any(map(separates, own)),
        f"k-NN accuracy by category: {found}; untrained {_range(controls)}.",
        needs=numbers["needs"],
        untrained=not any(map(separates, controls)),
    )
