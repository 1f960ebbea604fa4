"""Table I, alive: measured rows beside printed ones, costs, what is missing, resumption, and the page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import sync_playwright
from skimage import data

from analysis.complexity.table_one import FILES, method_of, numbers, table_one, write_table_one
from promptsr import load_model
from promptsr.complexity.counting import count
from promptsr.data.pairs import find_pairs
from promptsr.evaluation.cost import measure_cost
from promptsr.evaluation.evaluate import evaluate
from promptsr.paper.tables import DATASETS, LATER, published, published_value
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.listing import Listing, ModelInfo, search_models
from tests.support.commands import Run

MODELS = ("bicubic-x4", "promptsr-tiny-x4")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    for number, name in enumerate(("Set5", "Kodak24")):
        (folder / name / "HR").mkdir(parents=True)
        Image.fromarray(data.astronaut()[:96, 100 * number : 100 * number + 128]).save(folder / name / "HR" / "a.png")
    return folder


@pytest.fixture(scope="module")
def made(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of `promptsr evaluate --table-one`."""
    out = tmp_path_factory.mktemp("table") / "out"
    done = subprocess.run([sys.executable, "-m", "promptsr", *asked(bench, out)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def asked(bench: Path, out: Path) -> list[str | Path]:
    models = [part for name in MODELS for part in ("--model", name)]
    return ["evaluate", "--table-one", bench, "--scale", "4", *models, "--out", out]


def test_scores_and_costs_are_those_of_every_other_road(bench: Path, made: Path) -> None:
    table = pd.read_csv(made / FILES[0]).set_index("model")
    assert list(table.index) == list(MODELS) and set(table["scale"]) == {4}
    for name in MODELS:
        for each in ("Set5", "Kodak24"):
            [score] = evaluate(load_model(name), find_pairs(bench / each / "HR", None, 4))
            assert table.loc[name, f"{each} psnr_y"] == pytest.approx(score.psnr_y, abs=1e-6)
            assert table.loc[name, f"{each} ssim_y"] == pytest.approx(score.ssim_y, abs=1e-8)
    cost = count(load_model("promptsr-tiny-x4").network, 180, 320)
    ours = table.loc["promptsr-tiny-x4"]
    for key in ("parameters", "published_parameters", "multiply_adds", "published_multiply_adds"):
        assert ours[key] == getattr(cost, key)
    result = 1280 * 720 * 3 * 4  # bytes
    assert ours["seconds"] > 0 and result < ours["peak_bytes"] < 100 * result
    assert table.loc["bicubic-x4", "peak_bytes"] > result
    assert ours["weights"] == "bundled" and table["method"].isna().all() and table["reason"].isna().all()
    assert "promptsr-tiny-x4" in (made / FILES[1]).read_text() and not (made / FILES[1]).read_text().count("nan")


def test_a_second_run_measures_nothing(bench: Path, made: Path, promptsr: Run) -> None:
    kept = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    assert any(path.parent.name == "costs" for path in kept) and any(path.suffix == ".jsonl" for path in kept)
    assert promptsr(*asked(bench, made))[0] == 0
    assert {path: path.read_bytes() for path in made.rglob("*") if path.is_file()} == kept


def test_a_method_has_its_printed_row_and_the_difference(
    bench: Path, tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [weights] = (shared_data / "peers/imdn").glob("*x4*.pth")
    shutil.copy(weights, tmp_path / "imdn.pth")
    monkeypatch.setenv("PROMPTSR_MODELS", str(tmp_path))
    table = finish(table_one(search_models(), bench, tmp_path / "out", names=["imdn"], scales=[4]))
    [row] = table.rows
    printed = published_value("I", "IMDN", "psnr_y", "Set5")
    assert printed == 32.21 and row.method == "IMDN" and row.weights == "imdn.pth"
    assert row.difference("Set5") == pytest.approx(row.sets["Set5"].psnr_y - printed)
    assert row.difference("Kodak24") is None  # which the paper does not have
    line = numbers(table).iloc[0]
    assert line["Set5 printed psnr_y"] == printed and line["Set5 difference"] == pytest.approx(row.difference("Set5"))


def test_one_that_fails_never_costs_the_others_and_every_method_has_a_row(bench: Path, tmp_path: Path) -> None:
    gone = ModelInfo("gone", 4, 1_000, True, {}, "IMDN")
    listing = Listing([ModelInfo("bicubic-x4", 4, 0, True, {}, "Bicubic"), gone], [], {})
    table = finish(table_one(listing, bench, tmp_path, scales=[4]))
    rows = {row.model or row.method: row for row in table.rows}
    assert rows["bicubic-x4"].sets["Set5"].images and not rows["gone"].sets
    assert "There is no model gone" in rows["gone"].reason
    later = list(published(LATER, clear_only=False)["method"].unique())
    methods = {*published("I", scale=4, clear_only=False)["method"], *published("III")["method"], *later}
    assert {row.method for row in table.rows} == {"", *methods}  # "gone" is what there is of IMDN
    assert rows["CARN"].weights.startswith("https://") and "carn.pth" in rows["CARN"].reason
    assert "promptsr train" in rows["PromptSR"].reason
    write_table_one(table, tmp_path)
    page = (tmp_path / FILES[2]).read_text()
    assert "carn.pth" in page

    assert [row.method for row in table.rows[-len(later) :]] == later and rows["HiT-SRF"].table == LATER
    assert rows["HiT-SRF"].reason == (
        "Not in the paper. Others print 866K parameters, 58.0G multiply-adds. "
        "Urban100: XiangZ-0/HiT-SR, README.md at 0321c116; quoted in Table 1 of arXiv:2608.17966."
    )
    assert "46.8G? multiply-adds" in rows["CATANet"].reason
    [line] = pd.read_csv(tmp_path / FILES[0]).query("method == 'HiT-SRF'").to_dict("records")
    assert (line["Set5 printed psnr_y"], line["Set5 printed ssim_y"]) == (32.55, 0.8999)
    assert "32.55 / 0.8999" in page and page.index("Networks that the paper does not have") < page.index("HiT-SRF")
    assert "as others print them" in (tmp_path / FILES[1]).read_text()


def test_a_measured_network_of_others_keeps_its_source(
    bench: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.complexity.table_one.method_of", lambda *_: "HiT-SRF")
    table = finish(table_one(search_models(), bench, tmp_path, names=["bicubic-x4"], sets=["Set5"], scales=[4]))
    [row] = table.rows
    assert row.difference("Set5") == pytest.approx(row.sets["Set5"].psnr_y - 32.55)
    assert row.reason.startswith("Not in the paper.")
    page = write_table_one(table, tmp_path).read_text()
    assert page.index("Networks that the paper does not have") < page.index("bicubic-x4")


@pytest.mark.parametrize(
    ("architecture", "parameters", "method"),
    [
        ("PromptSR", 872_088, "PromptSR"),
        ("PromptSR", 1_120_768, "PromptSR*"),
        ("PromptSR", 272_768, ""),
        ("IMDN", 715_176, "IMDN"),
        ("CARN-M", 412_000, ""),
        ("SwinIR", 930_000, "SwinIR-light"),
        ("SwinIR", 11_900_000, "SwinIR"),
        ("Bicubic", 0, ""),
    ],
)
def test_methods_are_known_by_architecture_and_size(architecture: str, parameters: int, method: str) -> None:
    assert method_of(architecture, parameters, 4) == method


def test_a_failing_process_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"nothing-x4 could not be measured on 1280 x 720 .*There is no model nothing"):
        measure_cost("nothing-x4")


def test_impossible_questions_are_refused(bench: Path, tmp_path: Path, promptsr: Run) -> None:
    cases: list[tuple[list[str | Path], str]] = [
        (["--hr", bench], "--table-one takes no --hr"),
        (["--scale", "7"], "x2, x3 and x4, not x7"),
        (["--model", "nothing-x4"], "There is no model nothing-x4"),
        (["--set", "Set15"], "holds no set Set15"),
    ]
    for options, message in cases:
        code, _, err = promptsr("evaluate", "--table-one", bench, "--out", tmp_path, *options)
        assert code == 2 and message in " ".join(err.split()), err


def test_the_page_is_sorted_by_its_heads(made: Path, chromium_path: str) -> None:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox"])
        page = chromium.new_page()
        page.goto((made / FILES[2]).as_uri())
        first = page.locator("tbody td:first-child")
        assert first.all_inner_texts() == list(MODELS)
        page.get_by_role("button", name="Set5", exact=True).click()
        better = sorted(MODELS, key=lambda name: -psnr(made, name))
        assert first.all_inner_texts() == better
        page.get_by_role("button", name="Set5", exact=True).click()
        assert first.all_inner_texts() == better[::-1]
        assert page.locator(".chart svg").evaluate("picture => picture.getBBox().width") > 100
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
        shown = np.frombuffer(page.screenshot(), np.uint8)
        assert len(shown) > 10_000
        chromium.close()


def psnr(made: Path, name: str) -> float:
    table = pd.read_csv(made / FILES[0]).set_index("model")
    return float(table.loc[name, "Set5 psnr_y"])


def test_json_has_the_rows(bench: Path, made: Path, tmp_path: Path, promptsr: Run) -> None:
    target = tmp_path / "table.json"
    assert promptsr(*asked(bench, made), "--json", target)[0] == 0
    rows = json.loads(target.read_text())["rows"]
    assert [row["model"] for row in rows] == list(MODELS)
    assert set(DATASETS) & {key.split()[0] for key in rows[0]} == {"Set5"}
