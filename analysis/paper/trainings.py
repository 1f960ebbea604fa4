"""Networks trained with parts left out (Tables IV and VI): differences to the whole network, printed and measured."""

from collections.abc import Generator, Sequence
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from analysis.ablations.study import PAPERS_SETS, ROWS, WHOLE
from analysis.paper.entry import Measurement, Numbers, Ruling, rule
from analysis.paper.materials import Materials
from promptsr.support.errors import UserError

STATED = 0.2
"""dB; gain on Urban100 by coarse prompting alone, as the text below Table IV states."""
_ROUNDING = 0.05
"""dB; the statement has one digit."""
_FILE = "ablations.csv"


def ablated(materials: Materials, table: str) -> Generator[str, None, Measurement]:
    """Compare rows of Table IV or VI with the whole network: in print, and as `python -m analysis ablate` measured.

    A printed gain is the whole network's PSNR-Y minus that of the row, dB; a measured one its mean over seeds.
    """
    yield f"rows of Table {table}"
    rows = [row for row in ROWS if row.table == table and row != WHOLE]
    printed = {
        row.method: {name: _gain(row.printed(name), WHOLE.printed(name)) for name in PAPERS_SETS} for row in rows
    }
    measured = _measured(materials, [row.method for row in rows]) if materials.ablations else {}
    lines = [
        {
            "without the rest, or with": method,
            **{f"{name}, printed": f"{gain:+.2f}" for name, gain in gains.items()},
            **{
                f"{name}, measured": f"{found['gain']:+.3f} ± {found['spread']:.3f}"
                for name, found in measured.get(method, {}).items()
            },
        }
        for method, gains in printed.items()
    ]
    needs = [] if measured else ["networks trained row by row (python -m analysis ablate, then --ablations)"]
    sets = {name for each in measured.values() for name in each}
    needs += [name for name in PAPERS_SETS if name not in sets]
    numbers = {"printed": printed, "measured": measured, "needs": needs}
    return Measurement(numbers, {"Gain of the whole network, PSNR-Y (dB)": lines})


def _gain(row: float | None, whole: float | None) -> float:
    assert row is not None and whole is not None  # both tables are clear
    return round(whole - row, 2)


def _measured(materials: Materials, methods: Sequence[str]) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean and standard deviation of the gain over seeds, by row and set.

    Raises:
        UserError: the folder holds no such study.
    """
    assert materials.ablations is not None
    path = materials.ablations / _FILE
    try:
        scores = pd.read_csv(path).pivot_table(index=["set", "seed"], columns="row", values="psnr_y")
        gains = {method: scores[WHOLE.method] - scores[method] for method in methods}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is no table of `python -m analysis ablate`: give its --out.") from error
    return {
        method: {
            str(name): {"gain": fmean(of_set), "spread": stdev(of_set) if len(of_set) > 1 else 0.0}
            for name, of_set in gain.groupby(level="set")
        }
        for method, gain in gains.items()
    }


def judge_gains(numbers: Numbers, rows: Sequence[str] = ()) -> Ruling:
    """Rule on the claim that the whole network is better than rows on both sets, beyond the spread of seeds.

    All rows by default.
    """
    measured: dict[str, dict[str, Any]] = {
        row: found for row, found in numbers["measured"].items() if not rows or row in rows
    }
    holds = all(each["gain"] > each["spread"] for found in measured.values() for each in found.values())
    found = ", ".join(
        f"{name} over {method} {each['gain']:+.3f}"
        for method, of_method in measured.items()
        for name, each in of_method.items()
    )
    return rule(holds, f"Gain of the whole network, dB: {found}." if found else "Not trained.", needs=numbers["needs"])


def judge_stated_gain(numbers: Numbers) -> Ruling:
    """Rule on the gain by coarse prompting that the text states, by the table's own numbers."""
    anchor, coarse = (numbers["printed"][row]["Urban100"] for row in ("anchor", "anchor+coarse"))
    gain = anchor - coarse
    return rule(abs(gain - STATED) <= _ROUNDING, f"By the table itself it is {gain:+.2f} dB.")


def judge_trained(numbers: Numbers) -> Ruling:
    """Rule that the scores of Tables V and VII take trainings of every row, which no study here measures."""
    return rule(False, "Recipes of all rows are in configs/ablations.", needs=numbers["needs"])
