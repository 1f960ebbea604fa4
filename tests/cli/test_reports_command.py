"""`promptsr models`, `complexity` and `--version`: contracts that scripts rely on."""

import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from promptsr import load_model
from promptsr.zoo.listing import list_models
from tests.support.commands import Run

Result = Callable[..., dict[str, Any]]


def test_models_json(result: Result) -> None:
    models = result("models")["models"]
    assert all(set(model) == {"name", "scale", "parameters", "has_weights", "scores"} for model in models)
    by_name = {model["name"]: model for model in models}
    assert by_name["promptsr-x4"]["parameters"] == 872_088
    assert by_name["bicubic-x4"] == {**by_name["bicubic-x4"], "scale": 4, "parameters": 0, "has_weights": True}


def test_models_names_what_is_ignored(
    promptsr: Run, result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROMPTSR_MODELS", "in [")
    Path("in [").mkdir()
    path = Path("in [", "b] :cat: [anime].pth")
    path.write_text("no weights")
    [ignored] = result("models")["ignored"]
    assert ignored["path"] == str(path) and "truncated" in ignored["reason"]
    code, out, _ = promptsr("models")
    assert code == 0 and str(path) in out


def test_models_wanted(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMPTSR_MODELS", raising=False)
    rows = {row["method"]: row for row in result("models", "--wanted")["wanted"]}
    assert len(rows) == 23 and all(row["scales"] == [2, 3, 4] for row in rows.values())
    assert rows["IMDN"]["fetch"] == ["imdn-x2", "imdn-x3", "imdn-x4"] and rows["RCAN"]["package"] == "spandrel"
    assert rows["SwinIR-light"]["fetch"] == ["swinir-light-x2", "swinir-light-x4"]
    assert rows["CARN"] == {**rows["SPIN"], "method": "CARN", "files": ["carn.pth"], "page": rows["CARN"]["page"]}
    assert rows["NLSN"]["page"] == "https://github.com/HarukiYqM/Non-Local-Sparse-Attention"


def test_every_model_with_weights_loads() -> None:
    for info in list_models():
        if info.has_weights:
            model = load_model(info.name)
            assert (model.name, model.scale, model.parameters) == (info.name, info.scale, info.parameters)


def test_complexity_json(result: Result) -> None:
    size = ("--height", 180, "--width", 320)
    cost = result("complexity", "--preset", "promptsr", "--scale", 4, "--set", "blocks_per_group=2", *size)
    keys = {"parameters", "multiply_adds", "published_parameters", "published_multiply_adds"}
    assert set(cost) == {*keys, "layers"}
    # Tables IV to VII print 562K and 38.3G for this network
    assert cost["published_parameters"] == pytest.approx(562e3, rel=2e-3)
    assert cost["published_multiply_adds"] == pytest.approx(38.3e9, rel=2e-3)
    assert {frozenset(layer) for layer in cost["layers"]} == {frozenset({"name", "kind", *keys})}
    for key in keys:
        assert sum(layer[key] for layer in cost["layers"]) == cost[key]


def test_tables_go_to_stdout_and_json_to_a_file(promptsr: Run, tmp_path: Path) -> None:
    target = tmp_path / "models.json"
    code, out, _ = promptsr("models", "--json", target)
    assert code == 0
    assert "promptsr-tiny-x4" in out
    assert {model["name"] for model in json.loads(target.read_text())["models"]} >= {"bicubic-x2", "promptsr-x3"}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--preset", "promptsr-huge"], "promptsr-star"),
        (["--set", "chanels=3"], "channels"),
        (["--set", "channels"], "KEY=VALUE"),
        (["--height", 0], "0 x 320"),
    ],
)
def test_bad_requests(arguments: list[object], hint: str, refused: Callable[..., str]) -> None:
    assert hint in refused("complexity", *arguments, "--json", "-")


def test_version(promptsr: Run) -> None:
    assert promptsr("--version")[:2] == (0, version("promptsr") + "\n")
