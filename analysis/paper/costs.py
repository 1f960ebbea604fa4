"""Figures that follow from the networks' definitions: structure (Fig. 2), sizes and work (Tables I to III, V, VII)."""

from collections.abc import Generator, Sequence
from dataclasses import asdict
from typing import Any

from analysis.ablations.networks import promptsr_of
from analysis.complexity.figure import draw_scaling
from analysis.complexity.paper_networks import BUILDABLE, build_method
from analysis.complexity.scaling import SIDES, measure_scaling
from analysis.complexity.study import Row, ablations, agreement, table_three
from analysis.paper.entry import Lines, Measurement, Numbers, Ruling, rule
from analysis.paper.materials import Materials
from analysis.tour.figure import draw_views
from analysis.tour.walk import shrink, walk
from promptsr.complexity.counting import count
from promptsr.config import preset
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.local_prompting import LocalPromptingLayer
from promptsr.model.network import PromptSR
from promptsr.paper.tables import published_value

OWN = ("PromptSR", "PromptSR*")
"""The paper's networks, as its tables call them."""
EXPONENT = 0.02
"""Largest difference of a measured exponent from that of Table II."""
_LINEAR = 1 + EXPONENT
_COUNTED = 48
"""Side of an input that is large enough to count parameters."""
_NOT_COUNTED = rule(False, "Not counted in the quick form.", needs=["the full form (without --quick)"])
_COSTS = "Costs for a result of 1280 × 720"
_TOUR = 96
"""Longest side of the photograph that walks through the network, input pixels."""
_BOXES = ("coarse_map", "anchor_prompts", "fine_map", "coarse", "fine")


def structure(materials: Materials) -> Generator[str, None, Measurement]:
    """Count the boxes of Fig. 2 in the network of the definition, and show some of them at work in the model."""
    yield "boxes"
    network = PromptSR(preset("promptsr"))
    boxes = {
        "residual groups": len(network.groups),
        "cascade prompting blocks (CPB)": _number(network, CascadePromptingBlock),
        "global anchor prompting layers (GAPL)": _number(network, GlobalAnchorPromptingLayer),
        "local prompting layers (LPL)": _number(network, LocalPromptingLayer),
    }
    [row] = yield from table_three(methods=OWN[:1])
    name, _, lr = materials.photograph()
    tour = walk(promptsr_of(materials.model), shrink(lr, _TOUR))
    views = [tour.stops[box].views[0] for box in _BOXES if box in tour.stops]
    lines = [{"part": part, "in our network": str(number)} for part, number in boxes.items()]
    return Measurement(
        {"boxes": boxes, "size": asdict(row)},
        {"Parts of the network of the definition": lines},
        {f"Five boxes of a block of {materials.model.name} at work on {name}": draw_views(views, tour)},
    )


def _number(network: PromptSR, kind: type) -> int:
    return sum(isinstance(module, kind) for module in network.modules())


def judge_boxes(numbers: Numbers) -> Ruling:
    """Rule on the cascade: every block has a global layer and two local ones."""
    groups, blocks, anchors, local = numbers["boxes"].values()
    sentence = f"{groups} groups with {blocks} blocks in all hold {anchors} global and {local} local layers."
    return rule(anchors == blocks and local == 2 * blocks, sentence)


def judge_own_size(numbers: Numbers) -> Ruling:
    """Rule on parameters and multiply-adds of the network of the definition."""
    row = numbers["size"]
    agree = {row["parameters_agree"], row["multiply_adds_agree"]}
    return rule(not agree & {None, "neither"}, row["explanation"])


def sizes(materials: Materials) -> Generator[str, None, Measurement]:
    """Count the parameters of every network of Table I that can be built here and has a clear print."""
    rows: list[dict[str, Any]] = []
    for scale in materials.sizes.scales:
        for method in BUILDABLE if materials.sizes.peers else OWN:
            printed = published_value("I", method, "parameters", scale=scale)
            if printed is None:
                continue
            yield f"{method} x{scale}"
            network = build_method(method, scale)
            if network is None:  # its package is missing
                continue
            cost = count(network, _COUNTED, _COUNTED)
            by_thop, true = cost.published_parameters, cost.parameters
            agree = agreement(printed, by_thop, true)
            rows.append(
                {"method": method, "scale": scale, "printed": printed, "by_thop": by_thop, "true": true, "agree": agree}
            )
    lines = [
        {
            "network": f"{row['method']} ×{row['scale']}",
            "printed": f"{row['printed'] / 1e3:,.0f}K",
            "ours, by thop": f"{row['by_thop']:,}",
            "ours, all": f"{row['true']:,}",
            "agrees with": str(row["agree"]),
        }
        for row in rows
    ]
    return Measurement({"sizes": rows}, {"Parameters": lines})


def judge_sizes(numbers: Numbers) -> Ruling:
    """Rule on the parameters of the paper's networks."""
    rows = [row for row in numbers["sizes"] if row["method"] in OWN]
    found = ", ".join(
        f"{row['method']} ×{row['scale']} {row['by_thop']:,} for {row['printed'] / 1e3:,.0f}K" for row in rows
    )
    return rule(all(row["agree"] != "neither" for row in rows), f"Counted by thop's convention: {found}.")


def judge_other_sizes(numbers: Numbers) -> Ruling:
    """Rule on the parameters of the networks that the paper compares with."""
    rows = [row for row in numbers["sizes"] if row["method"] not in OWN]
    other = [f"{row['method']} ×{row['scale']}" for row in rows if row["agree"] == "neither"]
    sentence = f"{len(rows) - len(other)} of {len(rows)} counts agree with print"
    if not rows:
        return _NOT_COUNTED
    return rule(not other, f"{sentence}; not {', '.join(other)}." if other else f"{sentence}.")


def scaling(materials: Materials) -> Generator[str, None, Measurement]:
    """Measure the exponents of Table II; times only in the full form."""
    full = materials.sizes.peers
    found = yield from measure_scaling(SIDES if full else SIDES[:3], timed=full)
    exponents = [asdict(each) for each in found.exponents if each.expected is not None]
    lines = [
        {
            "layer": each["layer"],
            "cost": "multiply-adds of attention" if each["quantity"] == "attention" else "bytes of attention weights",
            "exponent, Table II": f"{each['expected']:.0f}",
            "measured": f"{each['exponent']:.3f}",
        }
        for each in exponents
    ]
    return Measurement(
        {"exponents": exponents, "finding": found.finding},
        {"Growth with the number of tokens HW": lines},
        {"Costs against tokens": draw_scaling(found)},
    )


def judge_exponents(numbers: Numbers) -> Ruling:
    """Rule on the powers of Table II, with as many anchors for every image as the table assumes."""
    off = max(abs(each["exponent"] - each["expected"]) for each in numbers["exponents"])
    return rule(off <= EXPONENT, f"The largest difference of an exponent from the table's is {off:.3f}.")


def judge_linear(numbers: Numbers) -> Ruling:
    """Rule on the claim that GAPL grows as window attention does, for the network as it runs."""
    grown = {each["layer"]: each["exponent"] for each in numbers["exponents"] if each["quantity"] == "attention"}
    return rule(grown["GAPL, d = 8"] <= _LINEAR, numbers["finding"])


def table_3_costs(materials: Materials) -> Generator[str, None, Measurement]:
    """Count Table III; in the quick form PromptSR alone."""
    rows = yield from table_three(methods=None if materials.sizes.peers else OWN[:1])
    return Measurement({"costs": [asdict(row) for row in rows]}, {_COSTS: _lines(rows)})


def settings(materials: Materials, table: str) -> Generator[str, None, Measurement]:
    """Count the settings of Table V or VII."""
    yield f"settings of Table {table}"
    rows = ablations([table])
    needs = ["networks trained row by row (promptsr train)", *materials.missing(["Urban100", "Manga109"], full=False)]
    numbers = {"costs": [asdict(row) for row in rows], "needs": needs}
    return Measurement(numbers, {_COSTS: _lines(rows)})


def _lines(rows: Sequence[Row]) -> Lines:
    return [
        {
            "network": row.method,
            "parameters, printed": _thousands(row.printed_parameters),
            "by thop": _thousands(row.published_parameters),
            "all": _thousands(row.parameters),
            "multiply-adds, printed": _giga(row.printed_multiply_adds),
            "by thop ": _giga(row.published_multiply_adds),
            "true": _giga(row.multiply_adds),
        }
        for row in rows
    ]


def _thousands(number: float | None) -> str:
    return "–" if number is None else f"{number / 1e3:,.0f}K"


def _giga(number: float | None) -> str:
    return "–" if number is None else f"{number / 1e9:,.1f}G"


def judge_costs(numbers: Numbers) -> Ruling:
    """Rule on the costs of the paper's network and its ablations."""
    rows = [row for row in numbers["costs"] if row["method"] in OWN or row["table"] != "III"]
    off = [row["method"] for row in rows if "neither" in (row["parameters_agree"], row["multiply_adds_agree"])]
    hidden = ", ".join(f"{row['method']} {row['multiply_adds'] / 1e9:.1f}G" for row in rows)
    sentence = f"All agree as the counter thop counts. With the products of attention the work is {hidden}."
    return rule(not off, sentence if not off else f"Neither count of ours agrees for {', '.join(off)}.")


def judge_other_costs(numbers: Numbers) -> Ruling:
    """Rule on the costs of the networks that Table III compares with."""
    rows = [row for row in numbers["costs"] if row["method"] not in OWN and row["parameters"]]
    off = [row for row in rows if "neither" in (row["parameters_agree"], row["multiply_adds_agree"])]
    if not rows:
        return _NOT_COUNTED
    sentence = f"{len(rows) - len(off)} of {len(rows)} networks that can be built here agree in both figures."
    return rule(not off, " ".join([sentence, *(f"{row['method']}: {row['explanation']}" for row in off)]))
