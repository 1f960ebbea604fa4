"""All figures and tables of the paper, in its order: what each shows, what is claimed of it, and how it is measured."""

import shlex
from collections.abc import Callable, Generator
from functools import partial

from analysis.paper import cases, costs, prompts, reach, scores, trainings
from analysis.paper.entry import Claim, Entry, Measurement
from analysis.paper.materials import Materials

_FIG_4, _FIG_6 = ("OmniSR", "HPINet"), ("SMFANet+", "ATD-light")
_OWN, _PAIR = ("model", "photographs"), ("model", "against", "photographs", "bench")


def _analysis(*parts: object) -> str:
    return shlex.join(["python", "-m", "analysis", *map(str, parts)])


def _complexity(materials: Materials) -> str:
    return _analysis("complexity", "--out", materials.out / "complexity")


def _models(materials: Materials, *, control: bool = False) -> list[str]:
    model, *others = materials.names
    names = [model, *([str(materials.checkpoint)] if control else []), *others]
    return [part for name in names for part in ("--model", name)]


def _evaluate(materials: Materials) -> str:
    bench = materials.bench or "BENCH"
    parts = ["promptsr", "evaluate", "--bench", bench, *_models(materials), "--out", materials.out / "table"]
    return shlex.join(map(str, parts))


def _photograph(materials: Materials) -> list[object]:
    return [materials.pairs("")[0][0], "--hr"]


def _field(materials: Materials) -> str:
    out = materials.out / "field"
    return _analysis("receptive-field", *_photograph(materials), *_models(materials, control=True), "--out", out)


def _attention(materials: Materials) -> str:
    own = ["--model", materials.names[0], "--out", materials.out / "attention", "--depth"]
    return _analysis("attention", *_photograph(materials), *own)


def _folder(materials: Materials, *names: str) -> list[object]:
    """Return the folder of images, and that of their LR images, as options."""
    here = [found for name in names if (found := materials.find_set(name))]
    if not here:
        return [materials.photographs]
    hr, lr = here[0].pairs[0]
    return [hr.parent, *(["--lr", lr.parent] if lr else [])]


def _lam_study(materials: Materials, dataset: str) -> str:
    sizes = materials.sizes
    options = {"per-image": sizes.per_image, "window": sizes.window, "patch": sizes.patch, "steps": sizes.steps}
    return _analysis(
        "lam-study",
        *_folder(materials, dataset),
        *_models(materials, control=True),
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        "--out",
        materials.out / "lam",
    )


def _promptings(materials: Materials) -> str:
    """Return the command for Fig. 10: of trained networks, or of one with promptings switched off."""
    out = ["--out", materials.out / "promptings"]
    if materials.series:
        names = [part for each in materials.series for part in ("--model", each.name)]
        return _analysis("lam-study", *_folder(materials, "Urban100"), *names, *out)
    return _analysis("lam", *_photograph(materials), "--model", materials.names[0], "--switch-off", *out)


def _failures(materials: Materials) -> str:
    model, *others = materials.names
    against = [part for name in others for part in ("--against", name)]
    window = ["--window", str(materials.sizes.case), "--out", materials.out / "failures"]
    return _analysis("failures", *_folder(materials, "Urban100", "Manga109"), "--model", model, *against, *window)


def _anchors(materials: Materials) -> str:
    sizes = materials.sizes
    options = ["--perplexity", str(sizes.perplexity), "--permutations", str(sizes.permutations)]
    return _analysis(
        "anchors", materials.crops, "--model", materials.names[0], *options, "--out", materials.out / "anchors"
    )


def _ablate(materials: Materials) -> str:
    bench, out = materials.bench or "BENCH", materials.ablations or "ablations"
    return _analysis("ablate", "configs/ablations/small.yaml", "data=PHOTOS", "--bench", bench, "--out", out)


def _both(
    *measures: Callable[[Materials], Generator[str, None, Measurement]],
) -> Callable[[Materials], Generator[str, None, Measurement]]:
    """Return what measures one after the other."""

    def measure(materials: Materials) -> Generator[str, None, Measurement]:
        found = Measurement({})
        for each in measures:
            found |= yield from each(materials)
        return found

    return measure


ENTRIES = (
    Entry(
        "fig-1",
        "Fig. 1",
        "(a) How far attention in windows and attention through anchors can see. (b) PSNR on Urban100 (×4) against the "
        "number of parameters.",
        (
            Claim("Anchors give every pixel a view of the whole image.", reach.judge_global),
            Claim("No network of the size scores as high on Urban100.", scores.judge_accuracy),
        ),
        _field,
        _both(reach.field, scores.accuracy),
        _PAIR,
    ),
    Entry(
        "fig-2",
        "Fig. 2",
        "The architecture: residual groups of cascade prompting blocks, each with a global anchor prompting layer and "
        "two local prompting layers.",
        (
            Claim("Every block has one global layer and two local ones.", costs.judge_boxes),
            Claim("Such a network has the printed size and cost.", costs.judge_own_size),
        ),
        lambda _: shlex.join(["promptsr", "complexity", "--preset", "promptsr", "--scale", "4"]),
        costs.structure,
        _OWN,
    ),
    Entry(
        "fig-3",
        "Fig. 3",
        "How the coarse and the fine similarity map come from anchors, keys and queries.",
        (
            Claim("The maps relate HW/d² anchors to all HW pixels, in both directions.", reach.judge_shapes),
            Claim("Through the anchors a pixel attends beyond its window.", reach.judge_reach),
        ),
        _attention,
        reach.maps,
        _OWN,
    ),
    *(
        Entry(
            f"fig-{number}",
            f"Fig. {number}",
            f"Windows of {dataset} (×4), enlarged by PromptSR, {' and '.join(methods)}, among others.",
            (Claim("PromptSR restores textures and lines better than the others.", scores.judge_best),),
            _evaluate,
            partial(scores.side_by_side, dataset=dataset, methods=methods, number=number - 4),
            _PAIR,
        )
        for number, dataset, methods in ((4, "Urban100", _FIG_4), (5, "Manga109", _FIG_4), (6, "Manga109", _FIG_6))
    ),
    *(
        Entry(
            f"fig-{number}",
            f"Fig. {number}",
            f"Local attribution maps (LAM) of windows of {dataset} (×4) for OmniSR, HPINet and PromptSR.",
            (Claim("PromptSR draws on more pixels than the others.", reach.judge_more_pixels),),
            partial(_lam_study, dataset=dataset),
            partial(reach.attribution, dataset=dataset, methods=_FIG_4, number=number - 7),
            _PAIR,
        )
        for number, dataset in ((7, "Urban100"), (8, "Manga109"))
    ),
    Entry(
        "fig-9",
        "Fig. 9",
        "Failure cases on Urban100 and Manga109 (×4), where PromptSR does worse than ATD-light.",
        (Claim("In fine, complex texture it fails by adding artefacts.", cases.judge_artefacts),),
        _failures,
        cases.failures,
        _PAIR,
    ),
    Entry(
        "fig-10",
        "Fig. 10",
        "Local attribution maps of networks trained without promptings, with some, and with all.",
        (Claim("Every prompting makes the network draw on more pixels.", reach.judge_promptings),),
        _promptings,
        reach.promptings,
        ("model", "series", "photographs", "bench"),
    ),
    Entry(
        "fig-11",
        "Fig. 11",
        "Anchor prompts of images of ten categories in the plane (t-SNE): of all residual groups, of the first, and of "
        "the last.",
        (
            Claim("(a) Prompts of different residual groups form clusters of their own.", prompts.judge_groups),
            Claim("(b, c) Within a group the categories do not form clusters.", prompts.judge_categories),
        ),
        _anchors,
        prompts.prompts,
        ("model", "categories"),
    ),
    Entry(
        "table-1",
        "Table I",
        "Parameters, PSNR and SSIM of all methods on five sets at ×2, ×3 and ×4. Measured here: parameters at all "
        "scales, scores at ×4; promptsr evaluate --table-one measures the others.",
        (
            Claim("PromptSR and PromptSR* have the printed sizes.", costs.judge_sizes),
            Claim("The other methods have the printed sizes.", costs.judge_other_sizes),
            Claim("PromptSR has the printed scores.", scores.judge_own_scores),
            Claim("The other methods have the printed scores.", scores.judge_other_scores),
        ),
        _evaluate,
        _both(costs.sizes, partial(scores.table_scores, table="I")),
        ("model", "against", "bench"),
        "I",
    ),
    Entry(
        "table-2",
        "Table II",
        "Time and space of self-attention (SA), window attention (WSA) and the global anchor prompting layer (GAPL): "
        "with H W pixels and H_d W_d pixels in a window or anchors, SA grows as H²W², the others as HW H_d W_d.",
        (
            Claim("Costs grow with the stated powers, for a fixed number of anchors.", costs.judge_exponents),
            Claim("GAPL stays as light as attention in windows.", costs.judge_linear),
        ),
        _complexity,
        costs.scaling,
    ),
    Entry(
        "table-3",
        "Table III",
        "Parameters, multiply-adds and scores of large and light methods on Urban100 and Manga109 (×4).",
        (
            Claim("PromptSR has the printed parameters and multiply-adds.", costs.judge_costs),
            Claim("The other methods have the printed costs.", costs.judge_other_costs),
            Claim("PromptSR has the printed scores.", scores.judge_own_scores),
        ),
        _complexity,
        _both(costs.table_3_costs, partial(scores.table_scores, table="III", sets=("Urban100", "Manga109"))),
        ("model", "against", "bench"),
        "III",
    ),
    Entry(
        "table-4",
        "Table IV",
        "Scores with promptings added one by one, in a network of two blocks a group.",
        (
            Claim("With all promptings the network is better than with fewer.", trainings.judge_gains),
            Claim(
                f"Coarse prompting adds {trainings.STATED} dB on Urban100 (in the text).", trainings.judge_stated_gain
            ),
        ),
        _ablate,
        partial(trainings.ablated, table="IV"),
        ("ablations",),
        "IV",
    ),
    Entry(
        "table-5",
        "Table V",
        "Costs and scores for anchors downscaled by d = 2, 4 and 8.",
        (
            Claim("The settings have the printed costs.", costs.judge_costs),
            Claim("d = 8 scores best.", trainings.judge_trained),
        ),
        _complexity,
        partial(costs.settings, table="V"),
        ("bench",),
        "V",
    ),
    Entry(
        "table-6",
        "Table VI",
        "Scores for the weight alpha of the anchor prompt update.",
        (Claim("Without the update (alpha = 0) scores drop.", partial(trainings.judge_gains, rows=("alpha=0",))),),
        _ablate,
        partial(trainings.ablated, table="VI"),
        ("ablations",),
        "VI",
    ),
    Entry(
        "table-7",
        "Table VII",
        "Costs and scores for windows of 8 and 16 pixels a side.",
        (
            Claim("The settings have the printed costs.", costs.judge_costs),
            Claim("Windows of 16 score better.", trainings.judge_trained),
        ),
        _complexity,
        partial(costs.settings, table="VII"),
        ("bench",),
        "VII",
    ),
)
"""In the order of print, figures first."""
