"""Gains of the whole network: printed, read from the table of `ablate`, and judged."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis.paper.entry import Verdict
from analysis.paper.materials import Materials
from analysis.paper.trainings import ablated, judge_gains, judge_stated_gain, judge_trained
from promptsr.support.errors import UserError
from promptsr.support.progress import finish

PSNR = {"windows only": (26.0, 26.1), "anchor": (26.2, 26.2), "anchor+coarse": (26.3, 26.4)}
WHOLE = (26.4, 26.5)


def with_table(materials: Materials, folder: Path, text: str | None = None) -> Materials:
    rows = [
        {"table": "IV", "row": row, "seed": seed, "set": name, "psnr_y": psnr}
        for row, seeds in {**PSNR, "anchor+coarse+fine": WHOLE}.items()
        for seed, psnr in enumerate(seeds)
        for name in ("Urban100", "Manga109")
    ]
    (folder / "ablations.csv").write_text(pd.DataFrame(rows).to_csv(index=False) if text is None else text)
    return replace(materials, ablations=folder)


def test_gains_are_those_of_print_and_table(materials: Materials, tmp_path: Path) -> None:
    found = finish(ablated(with_table(materials, tmp_path), "IV")).numbers
    assert {row: gains["Urban100"] for row, gains in found["printed"].items()} == {
        "windows only": 0.14, "anchor": 0.05, "anchor+coarse": 0.04,
    }  # fmt: skip
    measured = found["measured"]["anchor"]["Urban100"]
    assert measured["gain"] == pytest.approx(0.25) and measured["spread"] == pytest.approx(0.0707, abs=1e-4)
    assert found["needs"] == [] and judge_gains(found).verdict == Verdict.REPRODUCED


def test_without_training_nothing_is_claimed(materials: Materials) -> None:
    found = finish(ablated(materials, "VI")).numbers
    assert judge_gains(found, rows=("alpha=0",)).label.endswith("then --ablations), Urban100 and Manga109")


def test_another_table_is_refused(materials: Materials, tmp_path: Path) -> None:
    for text in ("a,b\n1,2\n", ""):
        with pytest.raises(UserError, match=r"is no table of `python -m analysis ablate`"):
            finish(ablated(with_table(materials, tmp_path, text), "IV"))


@pytest.mark.parametrize(("gain", "verdict"), [(0.11, Verdict.REPRODUCED), (0.1, Verdict.NOT_REPRODUCED)])
def test_gain_beyond_the_spread(gain: float, verdict: Verdict) -> None:
    measured = {
        "anchor": {"Urban100": {"gain": gain, "spread": 0.1}},
        "windows": {"Urban100": {"gain": 0, "spread": 1}},
    }
    assert judge_gains({"measured": measured, "needs": []}, rows=("anchor",)).verdict == verdict
    assert judge_gains({"measured": measured, "needs": []}).verdict == Verdict.NOT_REPRODUCED


@pytest.mark.parametrize(("coarse", "verdict"), [(-0.15, Verdict.REPRODUCED), (0.04, Verdict.NOT_REPRODUCED)])
def test_stated_gain(coarse: float, verdict: Verdict) -> None:
    printed = {"anchor": {"Urban100": 0.05}, "anchor+coarse": {"Urban100": coarse}}
    assert judge_stated_gain({"printed": printed}).verdict == verdict


def test_scores_of_settings_need_trainings() -> None:
    assert judge_trained({"needs": ["trainings"]}).label == "cannot be measured here: needs trainings"
