"""`python -m analysis lam`: the JSON that scripts rely on, the files beside it, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from analysis.lam.command import _file_names
from promptsr.zoo.load import WEIGHTS

Run = Callable[..., tuple[int, str, str]]
X, Y = 52, 36


@pytest.fixture
def lam(analysis: Run) -> Run:
    """Runs `python -m analysis lam` in this process, for speed: exit code, stdout, stderr."""
    return partial(analysis, "lam")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Part of a face, 32 x 24 pixels."""
    path = tmp_path_factory.mktemp("photos") / "[red]face.png"
    Image.fromarray(data.astronaut()[::4, ::4][18:42, 40:72]).save(path)
    return path


def test_one_model_in_a_shell(photo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", "lam", str(photo), "--model", "bicubic-x4", "--x", str(X)]
    command += ["--y", str(Y), "--window", "16", "--rule", "right", "--out", str(tmp_path / "new"), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)  # and nothing else
    assert {"model", "di", "completeness_gap", "detector", "seconds", "settings"} <= set(result)
    assert result["model"] == "bicubic-x4" and result["seconds"] > 0
    settings = {"x": X, "y": Y, "size": 16, "steps": 50, "sigma": 1.2, "kernel": 9, "rule": "right", "hr": False}
    assert settings.items() <= result["settings"].items()
    assert "steps" in done.stderr and "bicubic-x4" in done.stderr  # progress
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["lam.json", "lam.npz", "lam.png"]
    assert json.loads((tmp_path / "new" / "lam.json").read_text()) == result
    with np.load(tmp_path / "new" / "lam.npz") as arrays:
        assert json.loads(str(arrays["about"])) == result
        assert (arrays["attribution"].shape, arrays["map"].shape) == ((3, 24, 32), (24, 32))
        total = arrays["attribution"].sum(dtype=np.float64)
    assert total == pytest.approx(result["detector"] - result["detector_blurred"], rel=0.03)
    with Image.open(tmp_path / "new" / "lam.png") as figure:
        assert min(figure.size) > 500 and np.asarray(figure.convert("L")).std() > 10


def test_several_models_and_hr(lam: Run, photo: Path, tmp_path: Path) -> None:
    hr, target = tmp_path / "hr.png", tmp_path / "result.json"
    Image.open(photo).resize((129, 98)).save(hr)
    bundled = WEIGHTS / "promptsr-tiny-x4.safetensors"
    models = ("-m", "bicubic-x4", "-m", "promptsr-tiny-x4", "-m", bundled)
    out_folder = tmp_path / "out"
    settings = ("--steps", 3, "--rule", "trapezoid", "--around", 20)
    code, out, err = lam(hr, *models, "--hr", *settings, "-o", out_folder, "--json", target)
    assert code == 0, err
    bicubic, named, by_path = json.loads(target.read_text())["maps"]
    assert [bicubic["model"], named["model"], by_path["model"]] == ["bicubic-x4", "promptsr-tiny-x4", str(bundled)]
    assert bicubic["di"] < named["di"] == by_path["di"]
    assert "bicubic-x4" in out and f"{bicubic['di']:.2f}" in out  # the table
    assert bicubic["psnr_y"] > 20 and 0 < bicubic["ssim_y"] < 1
    assert (bicubic["settings"]["x"], bicubic["settings"]["y"]) == (56, 40)  # the middle of 128 x 96
    assert bicubic["settings"]["patch"] == {"x": 6, "y": 2, "width": 20, "height": 20}
    assert bicubic["settings"]["rule"] == "trapezoid" and bicubic["settings"]["hr"]
    files = sorted(path.name for path in out_folder.iterdir())
    assert files[:1] == ["bicubic-x4.npz"] and len(files) == 5 and {"lam.png", "lam.json"} < set(files)
    with np.load(out_folder / "promptsr-tiny-x4.npz") as arrays:
        assert json.loads(str(arrays["about"])) == named


def test_promptings_are_switched_off_and_called_so(lam: Run, photo: Path, tmp_path: Path) -> None:
    place = ("--x", X, "--y", Y, "--steps", 1, "--out", tmp_path, "--json", "-")
    code, out, _ = lam(photo, "--model", "promptsr-tiny-x4", "--switch-off", *place)
    maps = json.loads(out)["maps"]
    assert code == 0 and [found["model"] for found in maps] == [
        "promptsr-tiny-x4, all three switched off",
        "promptsr-tiny-x4, anchor only",
        "promptsr-tiny-x4, anchor + coarse",
        "promptsr-tiny-x4",
    ]
    assert maps[0]["di"] < maps[3]["di"] and len({found["detector"] for found in maps}) == 4
    code, _, err = lam(photo, "--model", "bicubic-x4", "--switch-off", *place)
    assert code == 2 and "PromptSR with all three promptings" in err


def test_flat_image_has_no_index(lam: Run, tmp_path: Path) -> None:
    Image.new("RGB", (12, 12), (90, 90, 90)).save(tmp_path / "flat.png")
    arguments = ("-m", "bicubic-x4", "--hr", "--window", 2, "--steps", 2, "--kernel", 3, "-o", tmp_path / "out")
    code, out, err = lam(tmp_path / "flat.png", *arguments, "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert result["warning"].startswith("The window is flat")
    assert "bicubic-x4: The window is flat" in " ".join(lam(tmp_path / "flat.png", *arguments)[1].split())
    assert result["di"] is None and result["completeness_gap"] is None
    assert result["psnr_y"] is None and result["ssim_y"] is None  # infinite; smaller than its window


def test_names_of_files_are_safe_and_differ() -> None:
    names = ["../a/best.safetensors", "a:b", "a_b", "x" * 300, "/", "a_b"]
    assert _file_names(names) == ["a_best.safetensors", "a_b", "a_b-2", "x" * 100, "model", "a_b-3"]


@pytest.mark.parametrize(
    ("hint", "arguments"),
    [
        ("window of 16 pixels at (112, 0)", ["--x", 112, "--y", 0]),
        ("too small to be blurred", ["--kernel", 51]),
        ("above 0", ["--sigma", 0]),
        ("At least 1 point", ["--at-once", 0]),
        ("crop the image to", ["--at-once", 10**6]),
        ("FILE", ["--out", "FILE"]),
        ("FILE", ["--json", "FILE/x.json"]),
    ],
)
def test_bad_requests(refused: Callable[..., None], photo: Path, hint: str, arguments: list[object]) -> None:
    refused(hint, "lam", photo, "-m", "bicubic-x4", "--out", "new", *arguments)
