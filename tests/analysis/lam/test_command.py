"""`python -m analysis lam`: the JSON that scripts rely on, the arrays it follows from, and what is refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from skimage import data

from analysis.lam.command import _file_names
from promptsr.zoo.load import WEIGHTS, load_model

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


def diffusion_index(share: np.ndarray) -> float:
    """By the mean difference of all pairs."""
    values = share.ravel().astype(np.float64)
    return float(100 * (1 - np.abs(values[:, None] - values).mean() / (2 * values.mean())))


def check_against_arrays(result: dict[str, object], path: Path) -> None:
    """The numbers must follow from the arrays, the map from the attributions."""
    with np.load(path) as arrays:
        attribution, share = arrays["attribution"], arrays["map"]
        assert json.loads(str(arrays["about"])) == result
    size = np.abs(attribution.astype(np.float64).sum(0))
    np.testing.assert_allclose(share, size / size.max(), rtol=1e-5, atol=1e-7)
    assert result["di"] == pytest.approx(diffusion_index(share), rel=1e-4)
    change = float(str(result["detector"])) - float(str(result["detector_blurred"]))
    gap = (attribution.sum(dtype=np.float64) - change) / abs(change)
    assert result["completeness_gap"] == pytest.approx(gap, rel=1e-3, abs=1e-6)


def test_one_model_in_a_shell(photo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", "lam", str(photo), "--model", "bicubic-x4", "--x", str(X)]
    command += ["--y", str(Y), "--window", "16", "--steps", "50", "--out", str(tmp_path / "new"), "--json", "-"]
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
        assert (arrays["attribution"].shape, arrays["map"].shape) == ((3, 24, 32), (24, 32))
        total = arrays["attribution"].sum(dtype=np.float64)
    assert total == pytest.approx(result["detector"] - result["detector_blurred"], rel=0.03)
    check_against_arrays(result, tmp_path / "new" / "lam.npz")
    with Image.open(tmp_path / "new" / "lam.png") as figure:
        assert min(figure.size) > 500 and np.asarray(figure.convert("L")).std() > 10


def test_attributions_add_up_to_the_change_of_the_detector(lam: Run, photo: Path, tmp_path: Path) -> None:
    settings = ("--x", X, "--y", Y, "--window", 9, "--rule", "trapezoid")
    code, out, err = lam(photo, "-m", "bicubic-x4", *settings, "-o", tmp_path, "--json", "-")
    assert code == 0, err
    lr = np.asarray(Image.open(photo), dtype=np.float32) / 255
    sr = load_model("bicubic-x4")(torch.from_numpy(lr).permute(2, 0, 1)[None])[0].double().numpy()
    near = sr[:, Y : Y + 10, X : X + 10]
    length = np.hypot(np.diff(near, axis=1)[:, :, :-1], np.diff(near, axis=2)[:, :-1])
    result = json.loads(out)
    assert result["detector"] == pytest.approx(length.sum(), rel=1e-4)
    with np.load(tmp_path / "lam.npz") as arrays:
        total = arrays["attribution"].sum(dtype=np.float64)
    assert total == pytest.approx(length.sum() - result["detector_blurred"], rel=2e-3)


def test_several_models_and_hr(lam: Run, photo: Path, tmp_path: Path) -> None:
    hr = tmp_path / "hr.png"
    Image.open(photo).resize((129, 98)).save(hr)
    bundled = WEIGHTS / "promptsr-tiny-x4.safetensors"
    models = ("-m", "bicubic-x4", "-m", "promptsr-tiny-x4", "-m", bundled)
    out_folder = tmp_path / "out"
    code, out, err = lam(hr, *models, "--hr", "--steps", 3, "--rule", "trapezoid", "-o", out_folder, "--json", "-")
    assert code == 0, err
    bicubic, named, by_path = json.loads(out)["maps"]
    assert [bicubic["model"], named["model"], by_path["model"]] == ["bicubic-x4", "promptsr-tiny-x4", str(bundled)]
    assert bicubic["di"] < named["di"] == by_path["di"]
    assert bicubic["psnr_y"] > 20 and 0 < bicubic["ssim_y"] < 1
    assert (bicubic["settings"]["x"], bicubic["settings"]["y"]) == (56, 40)  # the middle of 128 x 96
    assert bicubic["settings"]["rule"] == "trapezoid" and bicubic["settings"]["hr"]
    files = sorted(path.name for path in out_folder.iterdir())
    assert files[:1] == ["bicubic-x4.npz"] and len(files) == 5 and {"lam.png", "lam.json"} < set(files)
    check_against_arrays(named, out_folder / "promptsr-tiny-x4.npz")


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
    assert code == 2 and "no PromptSR with all three promptings" in err


def test_a_patch_is_the_image_cropped(lam: Run, photo: Path, tmp_path: Path) -> None:
    model = ("-m", "promptsr-tiny-x4", "--steps", 3, "--window", 8, "--json", "-")
    code, out, err = lam(photo, *model, "--x", X, "--y", Y, "--around", 16, "-o", tmp_path / "a")
    assert code == 0, err
    result = json.loads(out)
    left, top = (X + 4) // 4 - 8, (Y + 4) // 4 - 8
    assert result["settings"]["patch"] == {"x": left, "y": top, "width": 16, "height": 16}
    assert (result["settings"]["x"], result["settings"]["y"]) == (X, Y)
    cropped = tmp_path / "cropped.png"
    Image.open(photo).crop((left, top, left + 16, top + 16)).save(cropped)
    code, out, err = lam(cropped, *model, "--x", X - 4 * left, "--y", Y - 4 * top, "-o", tmp_path / "b")
    assert code == 0, err
    alone = json.loads(out)
    assert all(result[name] == pytest.approx(alone[name], rel=1e-5) for name in ("di", "detector", "completeness_gap"))
    check_against_arrays(result, tmp_path / "a" / "lam.npz")


def test_table(lam: Run, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    code, out, err = lam(photo, "-m", "bicubic-x4", "--steps", 2, "-o", tmp_path, "--json", target)
    assert code == 0, err
    result = json.loads(target.read_text())
    assert "bicubic-x4" in out and f"{result['di']:.2f}" in out


def test_flat_image_has_no_index(lam: Run, tmp_path: Path) -> None:
    Image.new("RGB", (12, 12), (90, 90, 90)).save(tmp_path / "flat.png")
    arguments = ("-m", "bicubic-x4", "--hr", "--window", 2, "--steps", 2, "--json", "-", "--kernel", 3)
    code, out, err = lam(tmp_path / "flat.png", *arguments, "-o", tmp_path / "out")
    assert code == 0, err
    result = json.loads(out)
    assert result["di"] is None and result["completeness_gap"] is None
    assert result["psnr_y"] is None and result["ssim_y"] is None  # infinite; smaller than its window


def test_names_of_files_are_safe_and_differ() -> None:
    names = ["../a/best.safetensors", "a:b", "a_b", "x" * 300, "/", "a_b"]
    assert _file_names(names) == ["a_best.safetensors", "a_b", "a_b-2", "x" * 100, "model", "a_b-3"]


MODEL = ("-m", "bicubic-x4")
WITHOUT_GRADIENTS = """
from torch import nn

class Nearest(nn.Module):
    def forward(self, image):
        return image.detach().repeat_interleave(4, 2).repeat_interleave(4, 3)

build = Nearest
"""


def save_onnx(path: Path) -> None:
    """Nearest neighbours, x4."""
    shape = (1, 3, "H", "W")
    graph = helper.make_graph(
        [helper.make_node("Resize", ["image", "", "scales"], ["result"], mode="nearest")],
        "nearest",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array([1, 1, 4, 4], np.float32), "scales")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["PHOTO", *MODEL, "--kernel", 8], "odd"),
        (["PHOTO", *MODEL, "--kernel", 51], "too small to be blurred"),
        (["PHOTO", *MODEL, "--x", 112, "--y", 0], "window of 16 pixels at (112, 0)"),
        (["PHOTO", *MODEL, "--x", -1, "--y", 0], "does not lie in"),
        (["PHOTO", *MODEL, "--window", 0], "does not lie in"),
        (["PHOTO", *MODEL, "--steps", 0], "at least 1 step"),
        (["PHOTO", *MODEL, "--rule", "left"], "right, trapezoid"),
        (["PHOTO", *MODEL, "--sigma", 0], "above 0"),
        (["PHOTO", *MODEL, "--at-once", 0], "At least 1 point"),
        (["PHOTO", *MODEL, "--around", 6], "use 7 or more"),
        (["PHOTO", *MODEL, "-m", "bicubic-x2"], "one scale"),
        (["PHOTO", "-m", "bicubic"], "There is no model bicubic"),
        (["PHOTO", "-m", "NET.onnx"], "NET gives no gradients"),
        (["PHOTO", "-m", "without_gradients:build"], "build gives no gradients"),
        (["BIG", "-m", "promptsr-tiny-x4"], "crop the image to"),
        (["NOTHING", *MODEL], "does not exist"),
        (["PHOTO", *MODEL, "--out", "FILE"], "FILE"),
        (["PHOTO", *MODEL, "--json", "FILE/x.json"], "FILE"),
    ],
)
def test_bad_requests(
    arguments: list[object],
    hint: str,
    lam: Run,
    photo: Path,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inputs = tmp_path_factory.mktemp("inputs")
    save_onnx(inputs / "NET.onnx")
    Image.new("RGB", (400, 400)).save(inputs / "BIG", "PNG")
    (inputs / "without_gradients.py").write_text(WITHOUT_GRADIENTS)
    monkeypatch.chdir(inputs)
    (tmp_path / "FILE").write_text("kept")
    places = {"PHOTO": photo, "BIG": inputs / "BIG", "NET.onnx": inputs / "NET.onnx", "NOTHING": inputs / "NOTHING"}
    places |= {"FILE": tmp_path / "FILE", "FILE/x.json": tmp_path / "FILE" / "x.json"}
    real = [places.get(str(word), word) for word in arguments]
    code, out, err = lam(*(real if "--out" in arguments else [*real, "--out", tmp_path / "new"]))
    assert (code, out) == (2, "")
    assert hint in err and err.count("Error:") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"] and (tmp_path / "FILE").read_text() == "kept"


def test_bad_request_in_a_shell(photo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "analysis", "lam", str(photo), "-m", "bicubic-x4", "--x", "500", "-o"]
    done = subprocess.run([*command, str(tmp_path / "new")], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert "(500, 40)" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
