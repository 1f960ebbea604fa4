"""`python -m analysis ablate`: every row is trained, measured, and set beside the paper's."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.ablations.study import ROWS, WHOLE
from promptsr.config import PRESETS, ModelConfig
from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import Evaluation, evaluate
from promptsr.imaging import Picture, encode
from promptsr.paper.tables import published
from promptsr.zoo.formats import read_config
from promptsr.zoo.load import load_model
from tests.support.commands import Run

RECIPE = """
model: {scale: 2, channels: 4, groups: 1, blocks_per_group: 2, window_size: 4, anchor_stride: 4, heads: 1}
data: bench/Set5
steps: 2
batch: 1
patch: 8
cache: cache
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        encode(Picture(rng.integers(0, 256, (40, 44, 3), dtype=np.uint8)), tmp_path / "bench" / "Set5" / f"{name}.png")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_rows_are_those_of_the_paper() -> None:
    """At the paper's size they are the presets, and each finds its printed number."""
    base = PRESETS["ablation-base"]
    wanted = ("windows-only", "anchor", "anchor-coarse", "base", "alpha-0", "alpha-0.1")
    assert [row.name for row in ROWS] == list(wanted)
    assert [row.config(base) for row in ROWS] == [PRESETS[f"ablation-{name}"] for name in wanted]
    for row in ROWS:
        printed = published(row.table, row.method)
        for name in ("Urban100", "Manga109"):
            [value] = printed[(printed.dataset == name) & (printed.metric == "psnr_y")].value
            assert row.printed(name) == value


def test_chosen_rows_are_compared_with_the_whole_network(analysis: Run, folder: Path) -> None:
    command = ("ablate", "recipe.yaml", "--bench", "bench", "--out", "out", "--seeds", 1, "--row")
    code, _, err = analysis(*command, "alpha")
    assert code != 0 and "There is no row 'alpha': choose from windows-only, anchor, " in " ".join(err.split())
    assert not (folder / "out").exists()
    code, out, err = analysis(*command, "alpha-0", "--row", "windows-only", "--json", "-")
    assert code == 0, err
    assert [line["row"] for line in json.loads(out)["rows"]] == ["windows only", "anchor+coarse+fine", "alpha=0"]


def test_every_row_and_seed_is_trained_and_measured(analysis: Run, folder: Path) -> None:
    command = ("ablate", "recipe.yaml", "--bench", "bench", "--out", "out", "--seeds", 2, "--json", "-")
    code, out, err = analysis(*command)
    assert code == 0, err
    result = json.loads(out)
    assert [line["row"] for line in result["rows"]] == [row.method for row in ROWS]

    scores = pd.read_csv(folder / "out" / "ablations.csv")
    assert len(scores) == 2 * len(ROWS)
    whole: ModelConfig = read_config(folder / "out" / "base-seed-0" / "final.safetensors")
    by_run = {}
    for row in ROWS:
        for seed in range(2):
            weights = folder / "out" / f"{row.name}-seed-{seed}" / "final.safetensors"
            assert read_config(weights) == row.config(whole)
            images = list(evaluate(load_model(weights), find_pairs(folder / "bench" / "Set5", None)))
            [found] = scores[(scores.row == row.method) & (scores.seed == seed)].psnr_y
            by_run[row, seed] = Evaluation("", 2, images).psnr_y
            assert found == pytest.approx(by_run[row, seed], abs=1e-9)
    assert len(set(by_run.values())) == len(by_run)  # no two networks are the same

    line = next(line for line in result["rows"] if line["row"] == "anchor")
    row = ROWS[1]
    own, whole_ones = (np.array([by_run[each, seed] for seed in range(2)]) for each in (row, WHOLE))
    gaps = own - whole_ones
    assert line["Set5"] == f"{own.mean():.3f} ± {own.std(ddof=1):.3f}"
    assert line["Set5, difference"] == f"{gaps.mean():+.3f} ± {gaps.std(ddof=1):.3f}"
    assert line["paper, Urban100"] == "26.58" and line["paper, Urban100, difference"] == "-0.05"
    assert (folder / "out" / "ablations.md").read_text().count("\n") == len(ROWS) + 2

    # A second call finds every run finished and every score there.
    scored = (folder / "out" / "scores" / "scores-0.jsonl").read_bytes()
    assert analysis(*command)[:2] == (0, out)
    assert (folder / "out" / "scores" / "scores-0.jsonl").read_bytes() == scored
    assert len(list((folder / "out").rglob("final.safetensors"))) == len(by_run)

    # An image that cannot be measured costs nothing else.
    whole_file = (folder / "bench" / "Set5" / "a.png").read_bytes()
    (folder / "bench" / "Set5" / "cut.png").write_bytes(whole_file[:-400])
    code, again, err = analysis(*command)
    assert (code, again) == (2, out) and err.count("Error: Set5: cut.png was left out: cut.png is damaged") == 1


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["recipe.yaml", "model.fine_prompting=off"], "leave its promptings switched on"),
        (["nowhere.yaml"], "There is no recipe"),
        (["recipe.yaml", "--set", "Set14"], "holds no set Set14"),
    ],
)
def test_what_is_no_study_is_refused(arguments: list[str], hint: str, analysis: Run, folder: Path) -> None:
    code, _, err = analysis("ablate", *arguments, "--bench", "bench", "--out", "out")
    assert code == 2 and hint in " ".join(err.split())
    assert not (folder / "out").exists()
