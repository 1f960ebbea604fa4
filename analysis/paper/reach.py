"""How far the network looks: receptive field (Fig. 1a), similarity maps (Fig. 3), local attribution (Fig. 7, 8, 10)."""

from collections.abc import Generator, Sequence
from typing import Any

from analysis.ablations.networks import promptsr_of, switched_off_series
from analysis.attention.depth import over_depth
from analysis.attention.figure import draw_attention
from analysis.attention.maps import look
from analysis.attention.pixel import attention_of
from analysis.attention.receptive_field import receptive_field
from analysis.attention.receptive_field_figure import draw_receptive_fields
from analysis.common.each_image import ImageLog
from analysis.common.figure_style import publish
from analysis.common.tables import write_table
from analysis.lam.attribution import PathSettings
from analysis.lam.patches import find_regions
from analysis.lam.run import explain_window
from analysis.lam.study import LamStudy, study
from analysis.lam.study_figure import draw_di
from analysis.paper.entry import Lines, Measurement, Numbers, Ruling, rule
from analysis.paper.materials import SCALE, UNTRAINED, Materials, twin
from promptsr.support.errors import UserError
from promptsr.support.progress import map_progress
from promptsr.zoo.sr_model import SRModel

Steps = Generator[str, None, Measurement]
_SHARE = 0.99
"""Share of the contributions whose square is reported."""


def field(materials: Materials) -> Steps:
    """Measure the receptive field of the middle pixel, of the model, its untrained twin, and the opponents."""
    name, _, lr = materials.photograph()
    fields = []
    for model in materials.models:
        yield model.name
        fields.append(receptive_field(model, [lr]))
    reached = {each.model: float((each.map > 0).mean()) for each in fields}
    lines = [
        {
            "model": each.model,
            "pixels that reach the middle one": f"{100 * reached[each.model]:.1f} %",
            f"square with {100 * _SHARE:.0f} % of the contributions": f"{each.extent(_SHARE).side} px",
        }
        for each in fields
    ]
    return Measurement(
        {"reached": reached, "model": materials.model.name},
        {f"Receptive field on {name}, {lr.shape[3]} × {lr.shape[2]} input pixels": lines},
        {"Where the middle pixel draws from": draw_receptive_fields(fields)},
    )


def judge_global(numbers: Numbers) -> Ruling:
    """Rule on global perception: all pixels of the input reach the middle pixel."""
    own, random = numbers["reached"][numbers["model"]], numbers["reached"][UNTRAINED]
    found = ", ".join(f"{name} {100 * share:.1f} %" for name, share in numbers["reached"].items())
    sentence = f"Pixels of the input that reach the middle one: {found}."
    return rule(own == 1, sentence, untrained=random == 1)


def maps(materials: Materials) -> Steps:
    """Read the shapes of the similarity maps, show them for a pixel, and measure their reach in every block."""
    name, _, lr = materials.photograph()
    network, control = promptsr_of(materials.model), promptsr_of(materials.control)
    config, (height, width) = network.config, lr.shape[2:]
    taps = look(network, lr, group=0, block=0)
    shapes = {kind: list(taps.taps[f"global_prompting.{kind}_map"].shape[1:]) for kind in ("coarse", "fine")}
    tokens = taps.grid.tokens
    seen = attention_of(
        network, lr, group=config.groups - 1, block=config.blocks_per_group - 1, x=width // 2, y=height // 2
    )
    reaches: dict[str, list[dict[str, Any]]] = {}
    for model, each in ((materials.model.name, network), (UNTRAINED, control)):
        work = over_depth(each, lr, pixels=materials.sizes.pixels)
        found = yield from map_progress(work, lambda step: f"group {step.group + 1}, block {step.block + 1}")
        windows = [column for column in found.table if column.startswith("window_")]
        table = found.table.assign(window=found.table[windows].max(axis=1))
        reaches[model] = table[["group", "block", "distance", "window"]].to_dict("records")
    lines = [
        {
            "block": f"{own['group']}.{own['block']}",
            "through anchors (px)": f"{own['distance']:.1f}",
            "in windows (px)": f"{own['window']:.1f}",
            "through anchors, untrained (px)": f"{random['distance']:.1f}",
        }
        for own, random in zip(*reaches.values(), strict=True)
    ]
    return Measurement(
        {"shapes": shapes, "tokens": tokens, "anchors": tokens // config.anchor_stride**2, "reaches": reaches},
        {"Mean distance of what a pixel attends to, input pixels": lines},
        {f"Similarity maps of the middle pixel of {name}, last block": draw_attention(seen, name)},
    )


def judge_shapes(numbers: Numbers) -> Ruling:
    """Rule on the shapes of both maps, with HW/d² anchors."""
    tokens, anchors, shapes = numbers["tokens"], numbers["anchors"], numbers["shapes"]
    holds = shapes == {"coarse": [anchors, tokens], "fine": [tokens, anchors]}
    sentence = f"M coarse is {' × '.join(map(str, shapes['coarse']))}, M fine {' × '.join(map(str, shapes['fine']))}"
    return rule(holds, f"{sentence}, for HW = {tokens} tokens and HW/d² = {anchors} anchors.")


def judge_reach(numbers: Numbers) -> Ruling:
    """Rule on the claim that anchors reach beyond the windows, in every block."""
    (name, own), (_, random) = numbers["reaches"].items()
    holds, control = (all(row["distance"] > row["window"] for row in rows) for rows in (own, random))
    count = sum(row["distance"] > row["window"] for row in own)
    means = [sum(row["distance"] for row in rows) / len(rows) for rows in (own, random)]
    sentence = (
        f"In {count} of {len(own)} blocks of {name} attention goes farther through anchors than in any window: "
        f"{means[0]:.1f} pixels in the mean, with untrained weights {means[1]:.1f}."
    )
    return rule(holds, sentence, untrained=control)


def attribution(materials: Materials, dataset: str, methods: Sequence[str], number: int) -> Steps:
    """Measure the diffusion index (DI) on a set or on the photographs, and draw the maps of one window.

    Args:
        materials: of the measurement.
        dataset: the set of the figure.
        methods: whose maps the figure shows.
        number: of the image.
    """
    found = yield from _study(materials, materials.models, dataset, "lam")
    sizes, settings = materials.sizes, _path(materials)
    name, hr, lr = materials.photograph(number, dataset)
    regions = find_regions(lr, SCALE, count=1, window=sizes.window)
    if not regions:
        raise UserError(f"{name} has no textured window of {sizes.window} pixels: choose other photographs.")
    work = explain_window(materials.models, lr, regions[0], hr=hr, side=sizes.patch, settings=settings)
    explanation = yield from map_progress(work, lambda step: name)
    return Measurement(
        {
            **_numbers(found),
            "model": materials.model.name,
            "needs": materials.missing([dataset], methods),
        },
        {_caption(found): _lines(found)},
        {f"Maps of a window of {name}": explanation.figure(name)},
    )


def _study(
    materials: Materials, models: Sequence[SRModel], dataset: str, folder: str
) -> Generator[str, None, LamStudy]:
    """Run `python -m analysis lam-study`; keep its files in a folder."""
    sizes, out = materials.sizes, materials.out / folder
    work = study(
        models,
        materials.pairs(dataset),
        per_image=sizes.per_image,
        window=sizes.window,
        patch=sizes.patch,
        settings=_path(materials),
        log=ImageLog(out / "finished"),
    )
    found = yield from map_progress(work, lambda step: f"{step.image} {step.model}")
    write_table(found.regions, out / "study.csv")
    publish(draw_di(found), out / "di.png")
    return found


def _path(materials: Materials) -> PathSettings:
    return PathSettings(materials.sizes.steps, rule="trapezoid")


def _numbers(found: LamStudy) -> Numbers:
    return {"means": found.means.to_dict("records"), "differences": found.differences.to_dict("records")}


def _caption(found: LamStudy) -> str:
    return f"Mean DI of {found.windows} windows of {len(found.di)} images, patches of {found.patch} × {found.patch}"


def _lines(found: LamStudy) -> Lines:
    return [
        {
            "model": mean.model,
            "mean DI": f"{mean.di:.2f}",
            "95 % interval": "–" if mean.low != mean.low else f"{mean.low:.2f} to {mean.high:.2f}",
        }
        for mean in found.means.itertuples()
    ]


def judge_more_pixels(numbers: Numbers) -> Ruling:
    """Rule on the claim that the model activates more pixels than each opponent, beyond the interval."""
    own, di = numbers["model"], {mean["model"]: mean["di"] for mean in numbers["means"]}
    rivals = [name for name in di if name not in (own, UNTRAINED)]
    holds, control = (all(_farther(numbers, name, rival) for rival in rivals) for name in (own, UNTRAINED))
    sentence = f"Mean DI: {', '.join(f'{name} {value:.2f}' for name, value in di.items())}."
    return rule(holds, sentence, needs=numbers["needs"], untrained=control)


def _farther(numbers: Numbers, name: str, other: str) -> bool:
    """Return True if the interval of the difference of two DI lies above 0."""
    for pair in numbers["differences"]:
        if (pair["model"], pair["against"]) == (name, other):
            return bool((pair["low"] or 0) > 0)  # None: a single image has no interval
        if (pair["model"], pair["against"]) == (other, name):
            return bool((pair["high"] or 0) < 0)
    raise KeyError(name, other)


def promptings(materials: Materials) -> Steps:
    """Measure the DI of networks trained without promptings, and of the same untrained; else of one switched off."""
    series = materials.series or switched_off_series(materials.model)
    found = yield from _study(materials, series, "Urban100", "promptings")
    needs = materials.missing(["Urban100"], full=False)
    control: list[float] = []
    if materials.series:
        twins = [twin(each, f"{each.name}, {UNTRAINED}") for each in series]
        control = (yield from _study(materials, twins, "Urban100", "promptings-untrained")).means["di"].tolist()
    else:
        needs = ["networks trained with and without promptings (python -m analysis ablate)", *needs]
    numbers = _numbers(found) | {"needs": needs, "untrained": control}
    return Measurement(numbers, {_caption(found): _lines(found)}, {"Mean DI, prompting by prompting": draw_di(found)})


def judge_promptings(numbers: Numbers) -> Ruling:
    """Rule on the claim that every prompting makes the DI grow."""
    di, control = [mean["di"] for mean in numbers["means"]], numbers["untrained"]
    holds, twins = (len(each) > 1 and each == sorted(each) for each in (di, control))
    found = ", ".join(f"{mean['model']} {mean['di']:.2f}" for mean in numbers["means"])
    remark = "" if control else " This is one trained network with promptings switched off, another experiment."
    return rule(holds, f"Mean DI: {found}.{remark}", needs=numbers["needs"], untrained=twins)
