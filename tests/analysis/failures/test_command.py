"""`python -m analysis failures`: the JSON that scripts rely on, the report, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from skimage import data

from promptsr.zoo.load import WEIGHTS

MODEL = ("--model", "bicubic-x4", "--against", "promptsr-tiny-x4")


def process(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs the command as a user's shell does."""
    command = [sys.executable, "-m", "analysis", "failures", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def failures(analysis: Callable[..., tuple[int, str, str]]) -> Callable[..., tuple[int, str, str]]:
    """Runs it in this process, for speed: exit code, stdout, stderr."""
    return partial(analysis, "failures")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[:128, 150:310]).save(folder / "[red]astronaut.png")
    Image.fromarray(data.chelsea()[60:220, 100:228]).save(folder / "cat.png")
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n")
    return folder


def test_json_and_report(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = process(photos, *MODEL, "--scale", 4, "--out", out, "--window", 48, "--count", 3, "--json", "-")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert {"image", "x", "y", "window", "kind", "loss_db"} <= set(result["cases"][0])
    losses = [case["loss_db"] for case in result["cases"]]
    assert len(losses) == 3 and losses == sorted(losses, reverse=True) and losses[-1] > 0
    for case in result["cases"]:
        width, height = Image.open(photos / case["image"]).size
        assert case["window"] == 48 and 0 <= case["x"] <= width - 48 and 0 <= case["y"] <= height - 48
        assert case["kind"] in ("blur", "artefact") and case["against"] == "promptsr-tiny-x4"
    assert (result["images"], list(result["skipped"])) == (2, ["damaged.png"])
    assert "damaged.png was left out" in done.stderr and str(out / "report.html") in done.stderr
    page = (out / "report.html").read_text()
    assert "failures" in page and "--window 48" in page
    assert len((out / "cases.csv").read_text().splitlines()) == 4


def test_table(failures: Callable[..., tuple[int, str, str]], photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    code, out, err = failures(photos, *MODEL, "-o", tmp_path, "--window", 48, "--per-image", 1, "--json", target)
    assert code == 0, err
    assert sorted(case["image"] for case in json.loads(target.read_text())["cases"]) == [
        "[red]astronaut.png",
        "cat.png",
    ]
    assert "[red]astronaut.png" in out and "cat.png" in out  # brackets and all


def test_bicubic_is_the_default_opponent(
    failures: Callable[..., tuple[int, str, str]], photos: Path, tmp_path: Path
) -> None:
    code, out, err = failures(photos, "-m", "promptsr-tiny-x4", "-o", tmp_path, "--window", 128, "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert (result["against"], result["cases"]) == (["bicubic-x4"], [])
    assert "promptsr-tiny-x4 loses no window" in err
    assert (tmp_path / "report.html").is_file()


def test_models_of_one_name_go_by_what_was_typed(
    failures: Callable[..., tuple[int, str, str]], photos: Path, tmp_path: Path
) -> None:
    bundled = WEIGHTS / "promptsr-tiny-x4.safetensors"
    code, out, err = failures(photos, "-m", "promptsr-tiny-x4", "-a", bundled, "-o", tmp_path, "--json", "-")
    assert code == 0, err
    assert set(json.loads(out)["psnr_y"]) == {"promptsr-tiny-x4", str(bundled)}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["PHOTOS", *MODEL, "--window", 500], "500"),
        (["PHOTOS", *MODEL, "--scale", 2], "x4, not x2"),
        (["PHOTOS", "--model", "bicubic-x4", "--against", "bicubic-x2"], "one scale"),
        (["PHOTOS", "--model", "bicubic-x4"], "Two models are called bicubic-x4"),
        (["PHOTOS", "--model", "bicubic"], "There is no model bicubic"),
        (["EMPTY", *MODEL], "holds no image"),
        (["PHOTOS", *MODEL, "--lr", "EMPTY"], "holds no image"),
        (["PHOTOS", *MODEL, "--out", "FILE"], "FILE"),
        (["PHOTOS", *MODEL, "--json", "FILE/x.json"], "FILE"),
    ],
)
def test_bad_requests(
    arguments: list[object],
    hint: str,
    failures: Callable[..., tuple[int, str, str]],
    photos: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("kept")
    real = [str(word).replace("PHOTOS", str(photos)) for word in arguments]
    real = [str(tmp_path / word) if word.startswith(("EMPTY", "FILE")) else word for word in real]
    code, out, err = failures(*(real if "--out" in real else [*real, "--out", tmp_path / "new"]))
    assert (code, out) == (2, "")
    assert hint in err and err.count("Error:") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["EMPTY", "FILE"]
    assert (tmp_path / "FILE").read_text() == "kept"


def test_bad_request_in_a_shell(tmp_path: Path, photos: Path) -> None:
    done = process(photos, *MODEL, "--window", 500, "--out", tmp_path / "new", "--json", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert "500" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
