"""`promptsr evaluate --bench`: JSON and files, resumption after a kill, ranks under torchrun, and what is refused."""

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from promptsr.data.pairs import find_pairs
from promptsr.evaluation.evaluate import Evaluation, evaluate
from promptsr.imaging import Picture, encode
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.paper.tables import published
from promptsr.zoo.load import list_models, load_model
from tests.support.commands import Run
from tests.support.ranks import COUNTED, run_ranks

Result = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Set5 with four images and Kodak24 with three."""
    bench = tmp_path_factory.mktemp("bench")
    rng = np.random.default_rng(0)
    for name, count in (("Set5", 4), ("Kodak24", 3)):
        (bench / name).mkdir()
        for i in range(count):
            waves = 128 + 100 * np.sin(np.indices((40, 36, 3)).sum(0) / (i + 3)) + rng.normal(0, 6, (40, 36, 3))
            Image.fromarray(waves.clip(0, 255).astype(np.uint8)).save(bench / name / f"{i}.png")
    return bench


def start(folder: Path, *arguments: object, ranks: int = 1, code: int = 0, **environment: str) -> str:
    """`promptsr evaluate` in a process of its own, or in several, which ends with a code: its JSON."""
    command = ("evaluate", *arguments, "--json", "-")
    return run_ranks(folder, "promptsr", *command, ranks=ranks, code=code, **environment).stdout


def test_a_table_and_its_json(promptsr: Run, bench: Path, tmp_path: Path) -> None:
    target = tmp_path / "table.json"
    models = ("-m", "bicubic-x2", "-m", "promptsr-tiny-x2", "-m", "bicubic-x2")
    code, out, err = promptsr("evaluate", "--bench", bench, *models, "--json", target)
    assert code == 0, err
    for text in ("bicubic-x2", "promptsr-tiny-x2", "PromptSR*", "measured", "published", "Kodak24", "Table I"):
        assert text in out
    result = json.loads(target.read_text())
    assert (result["scale"], result["self_ensemble"]) == (2, False)
    assert [row["model"] for row in result["measured"]] == ["bicubic-x2", "promptsr-tiny-x2"]
    for row in result["measured"]:
        assert list(row["sets"]) == ["Set5", "Kodak24"]
        model = load_model(row["model"])
        for name, found in row["sets"].items():
            expected = Evaluation(model.name, 2, list(evaluate(model, find_pairs(bench / name, None))))
            assert found["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-4)
            assert [image["name"] for image in found["images"]] == [image.name for image in expected.images]
    methods = published("I", scale=2, clear_only=False)["method"].unique()
    assert [row["method"] for row in result["published"]] == list(methods)


def test_self_ensemble(result: Result, bench: Path) -> None:
    name = "promptsr-tiny-x2"
    model = self_ensemble(load_model(name))
    expected = Evaluation(model.name, 2, list(evaluate(model, find_pairs(bench / "Set5", None))))
    table = result("evaluate", "-m", name, "--self-ensemble", "--bench", bench, "--set", "Set5")
    [row] = table["measured"]
    assert table["self_ensemble"] and row["model"] == f"{name}+" and list(row["sets"]) == ["Set5"]
    assert row["sets"]["Set5"]["psnr_y"] == pytest.approx(expected.psnr_y, abs=1e-4)
    folder = result("evaluate", "-m", name, "--self-ensemble", "--hr", bench / "Set5")
    assert folder["model"] == f"{name}+" and folder["psnr_y"] == row["sets"]["Set5"]["psnr_y"]


def test_a_folder_and_its_json(result: Result, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("b.png", "a.png"):
        encode(Picture(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)), tmp_path / name)
    found = result("evaluate", "--model", "bicubic-x2", "--hr", tmp_path, "--scale", 2)
    assert set(found) == {"model", "scale", "images", "left_out", "notes", "perfect", "psnr_y", "ssim_y"}
    assert [image["name"] for image in found["images"]] == ["a.png", "b.png"]
    assert found["psnr_y"] == pytest.approx(np.mean([image["psnr_y"] for image in found["images"]]))


def test_bundled_weights_reach_their_score(result: Result, shared_data: Path) -> None:
    set5 = shared_data / "data" / "bench" / "Set5" / "x4"
    found = result("evaluate", "-m", "promptsr-tiny-x4", "--hr", set5 / "HR", "--lr", set5 / "LR", "--scale", 4)
    assert found["psnr_y"] > 31.0
    recorded = next(info for info in list_models() if info.name == "promptsr-tiny-x4").scores["Set5"]
    assert found["psnr_y"] == pytest.approx(recorded["psnr_y"], abs=0.005)
    assert found["ssim_y"] == pytest.approx(recorded["ssim_y"], abs=0.0005)


def test_a_killed_run_goes_on_with_any_number_of_ranks(bench: Path, tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(COUNTED)
    seen = tmp_path / "seen.txt"
    request = ["--bench", bench, "--model", "counted:build", "--model", "bicubic-x2"]
    expected = start(tmp_path, *request)
    assert len(seen.read_text()) == 7

    seen.unlink()
    start(tmp_path, *request, "--out", "out", KILLED_AT="4", code=-signal.SIGKILL)  # with three finished
    assert len(seen.read_text()) == 4

    seen.unlink()
    assert start(tmp_path, *request, "--out", "out", ranks=2) == expected
    assert len(seen.read_text()) == 4  # the one under way, and three more
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scores", "table.csv", "table.md"]
    assert len(list((tmp_path / "out" / "scores").iterdir())) == 2

    seen.unlink()
    assert start(tmp_path, *request, "--out", "out") == expected
    assert not seen.exists()


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["-m", "bicubic-x2"], "--hr"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--hr", "{bench}/Set5"], "leave it out"),
        (["-m", "bicubic-x2", "-m", "bicubic-x3", "--hr", "{bench}/Set5"], "takes one model"),
        (["-m", "bicubic-x2", "--hr", "{bench}/Set5", "--out", "new"], "--out"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--lr", "{bench}/Set5"], "--lr goes with --hr"),
        (["-m", "bicubic-x2", "-m", "bicubic-x3", "--bench", "{bench}"], "compare models of one scale"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--scale", "4"], "choose a model for x4"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--set", "Urban100"], "choose among Set5, Kodak24"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--out", "FILE"], "FILE"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--device", "gpu"], 'device "gpu" is not available'),
        (["-m", "bicubic-x2", "--hr", "nowhere"], "nowhere is not a folder"),
        (["-m", "promptsr-star-x4", "--hr", "nowhere"], "promptsr train"),
        (["-m", "bicubic-x2", "--hr", ".", "--scale", "4"], "x2"),
        (["-m", "bicubic-x2", "--bench", "{bench}", "--stability"], "--stability takes the images by --hr"),
        (["-m", "bicubic-x2", "--hr", "{bench}/Set5", "--lr", "{bench}/Kodak24"], "no LR image called 3.png: add it"),
        (["-m", "bicubic-x2", "--hr", "damaged"], "damaged holds no image"),
    ],
)
def test_bad_requests(
    arguments: list[str], hint: str, refused: Callable[..., str], bench: Path, tmp_path: Path
) -> None:
    (tmp_path / "FILE").write_text("kept")
    (tmp_path / "damaged").mkdir()
    assert hint in refused("evaluate", *(word.format(bench=bench) for word in arguments), "--json", "-")


def check_named(
    promptsr: Run, arguments: tuple[object, ...], lost: dict[str, str], total: int
) -> tuple[dict[str, Any], str]:
    """Run a command of which some images are lost, each with a set: its JSON, and its table from another run."""
    code, table, err = promptsr("evaluate", *arguments)
    errors = [line for line in err.splitlines() if "Error: " in line]
    assert code == 2 and errors[-1] == f"Error: {len(lost)} of {total} images were left out; see above."
    for line, (name, where) in zip(errors, lost.items(), strict=False):
        assert line.startswith(f"Error: {where}: ") and name in line
    assert len(errors) == len(lost) + 1
    code, out, _ = promptsr("evaluate", *arguments, "--json", "-")
    assert code == 2
    return json.loads(out), table


def test_bad_images_are_named_and_the_others_measured(
    promptsr: Run, result: Result, bench: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(bench, damaged)
    models = ("-m", "bicubic-x2", "-m", "promptsr-tiny-x2")
    whole = result("evaluate", *models, "--bench", bench)
    (damaged / "Kodak24" / "1.png").write_bytes(b"damaged")
    cut = damaged / "Set5" / "2.png"
    cut.write_bytes(cut.read_bytes()[:-400])
    (damaged / "Set5" / "readme.txt").write_text("no image")
    lost = {"1.png": "Kodak24", "2.png": "Set5"}
    found, table = check_named(promptsr, (*models, "--bench", damaged, "--out", tmp_path / "out"), lost, 7)
    assert "Set5: Not measured: 2.png." in " ".join(table.split())
    assert "Kodak24: Not measured: 1.png." in (tmp_path / "out" / "table.md").read_text()
    for row, expected in zip(found["measured"], whole["measured"], strict=True):
        for name, where in lost.items():
            images = [image for image in expected["sets"][where]["images"] if image["name"] != name]
            assert row["sets"][where]["images"] == images
            assert row["sets"][where]["psnr_y"] == pytest.approx(np.mean([image["psnr_y"] for image in images]))
            assert [image["name"] for image in row["sets"][where]["left_out"]] == [name]
    set5 = str(damaged / "Set5")
    found, table = check_named(promptsr, ("-m", "bicubic-x2", "--hr", set5), {"2.png": set5}, 4)
    assert [image["name"] for image in found["images"]] == ["0.png", "1.png", "3.png"]
    assert "Not measured: 2.png." in table
    found, _ = check_named(promptsr, ("-m", "bicubic-x2", "--hr", set5, "--stability"), {"2.png": set5}, 4)
    assert [image["name"] for image in found["images"]] == ["0.png", "1.png", "3.png"]
    assert [image["name"] for image in found["left_out"]] == ["2.png"]
    assert found["unchanged"] == sum(image["psnr"] is None for image in found["images"])


def test_perfect_images_are_counted_apart(promptsr: Run, result: Result, bench: Path, tmp_path: Path) -> None:
    shutil.copy(bench / "Set5" / "0.png", tmp_path / "[a] photo.png")
    Image.new("RGB", (40, 36), "white").save(tmp_path / "page.png")
    request = ("evaluate", "-m", "bicubic-x2", "--hr", tmp_path)
    found = result(*request)
    photo, page = found["images"]
    assert photo["name"] == "[a] photo.png" and photo["psnr_y"] == found["psnr_y"] > 20
    assert page["psnr_y"] is None and found["perfect"] == 1
    _, out, _ = promptsr(*request)
    assert "[a] photo.png" in out and "1 of 2 is perfect: the mean PSNR is of the other." in " ".join(out.split())
    assert out.count("∞") == 1 and "inf" not in out and f"{found['psnr_y']:.3f}" in out


@pytest.mark.parametrize(
    ("hr", "lr"),
    [("hr", "lr_x4"), ("hr", "lr_up"), ("hr_bi", "lr_bi"), ("hr_srf", "lr_srf"), ("ceil/hr", "ceil/lr_ceil")],
)
def test_pairs_as_they_are_distributed(result: Result, shared_data: Path, hr: str, lr: str) -> None:
    folder = shared_data / "cases" / "pairs"
    if not folder.is_dir():
        pytest.skip("no cases in the shared folder")
    found = result("evaluate", "-m", "bicubic-x4", "--hr", folder / hr, "--lr", folder / lr)
    if hr == "ceil/hr":
        assert found["notes"] == ["LR sides are rounded up in a.png: only the part common with HR counts."]
    else:
        same = result("evaluate", "-m", "bicubic-x4", "--hr", folder / "hr", "--lr", folder / "lr_up")
        assert found["psnr_y"] == same["psnr_y"] and len(found["images"]) == 2 and found["notes"] == []


def test_imdn_reaches_its_printed_row(result: Result, shared_data: Path) -> None:
    """The command on a real set; tests/peers has the other checkpoints."""
    checkpoint = shared_data / "peers" / "imdn" / "IMDN_x4.pth"
    if not checkpoint.is_file():
        pytest.skip("no checkpoint of IMDN in the shared folder")
    bench = shared_data / "data" / "bench"
    table = result("evaluate", "--bench", bench, "--set", "Set5", "--scale", 4, "--model", checkpoint)
    assert table["own_lr"] == []
    [measured] = (row["sets"]["Set5"]["psnr_y"] for row in table["measured"])
    [printed] = (row["sets"]["Set5"]["psnr_y"] for row in table["published"] if row["method"] == "IMDN")
    assert measured == pytest.approx(32.211, abs=0.01) and measured == pytest.approx(printed["value"], abs=0.01)
