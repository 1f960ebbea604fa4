"""`promptsr models`, `complexity`, `evaluate`, `--version`: contracts that scripts rely on."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from promptsr import load_model
from promptsr.imaging import Picture, encode
from promptsr.zoo.load import list_models

InProcess = Callable[..., tuple[int, str, str]]
Process = Callable[..., CompletedProcess[str]]


def test_models_json(promptsr_process: Process) -> None:
    done = promptsr_process("models", "--json", "-")
    assert done.returncode == 0, done.stderr
    models = json.loads(done.stdout)["models"]
    assert all(set(model) == {"name", "scale", "parameters", "has_weights", "scores"} for model in models)
    by_name = {model["name"]: model for model in models}
    assert by_name["promptsr-x4"]["parameters"] == 872_088
    assert by_name["bicubic-x4"] == {**by_name["bicubic-x4"], "scale": 4, "parameters": 0, "has_weights": True}


def test_every_model_with_weights_loads() -> None:
    for info in list_models():
        if info.has_weights:
            model = load_model(info.name)
            assert (model.name, model.scale, model.parameters) == (info.name, info.scale, info.parameters)


def test_complexity_json(promptsr_process: Process) -> None:
    done = promptsr_process(
        "complexity", "--preset", "promptsr", "--scale", 4, "--set", "blocks_per_group=2", "--height", 180,
        "--width", 320, "--json", "-",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    keys = {"parameters", "multiply_adds", "published_parameters", "published_multiply_adds", "layers"}
    assert set(cost) == keys
    # Tables IV to VII print 562K and 38.3G for this network
    assert cost["published_parameters"] == pytest.approx(562e3, rel=2e-3)
    assert cost["published_multiply_adds"] == pytest.approx(38.3e9, rel=2e-3)
    for key in keys - {"layers"}:
        assert sum(layer[key] for layer in cost["layers"]) == cost[key]


def test_tables_go_to_stdout_and_json_to_a_file(promptsr: InProcess, tmp_path: Path) -> None:
    target = tmp_path / "models.json"
    code, out, _ = promptsr("models", "--json", target)
    assert code == 0
    assert "promptsr-tiny-x4" in out
    assert {model["name"] for model in json.loads(target.read_text())["models"]} >= {"bicubic-x2", "promptsr-x3"}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["complexity", "--preset", "promptsr-huge"], "promptsr-star"),
        (["complexity", "--set", "chanels=3"], "channels"),
        (["complexity", "--set", "channels"], "KEY=VALUE"),
        (["complexity", "--height", 0], "0 x 320"),
        (["evaluate", "-m", "bicubic-x2", "--hr", "nowhere"], "nowhere"),
        (["evaluate", "-m", "promptsr-x4", "--hr", "nowhere"], "promptsr train"),
        (["evaluate", "-m", "bicubic-x2", "--hr", ".", "--scale", 4], "x2"),
    ],
)
def test_bad_requests(arguments: list[object], hint: str, promptsr: InProcess, tmp_path: Path,
                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    code, out, err = promptsr(*arguments, "--json", "-")
    assert (code, out) == (2, "")
    assert hint in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_evaluate_json(promptsr_process: Process, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("b.png", "a.png"):
        encode(Picture(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)), tmp_path / "HR" / name)
    done = promptsr_process(
        "evaluate", "--model", "bicubic-x2", "--hr", tmp_path / "HR", "--scale", 2, "--json", "-"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert set(result) == {"model", "scale", "images", "psnr_y", "ssim_y"}
    assert [image["name"] for image in result["images"]] == ["a.png", "b.png"]
    assert result["psnr_y"] == pytest.approx(np.mean([image["psnr_y"] for image in result["images"]]))


def test_version(promptsr: InProcess) -> None:
    assert promptsr("--version")[:2] == (0, version("promptsr") + "\n")


def test_bundled_weights_reach_their_score(promptsr_process: Process, shared_data: Path) -> None:
    set5 = shared_data / "data" / "bench" / "Set5" / "x4"
    done = promptsr_process(
        "evaluate", "--model", "promptsr-tiny-x4", "--hr", set5 / "HR", "--lr", set5 / "LR", "--scale", 4, "--json", "-"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["psnr_y"] > 31.0
    recorded = next(info for info in list_models() if info.name == "promptsr-tiny-x4").scores["Set5"]
    assert result["psnr_y"] == pytest.approx(recorded["psnr_y"], abs=0.005)
    assert result["ssim_y"] == pytest.approx(recorded["ssim_y"], abs=0.0005)
