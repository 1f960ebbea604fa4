"""Loading and listing models by name."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from promptsr.config import PRESETS
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError
from promptsr.zoo import listing
from promptsr.zoo.listing import PRESETS_LISTED, SCALES, ModelInfo, first_opponent, list_models, search_models
from promptsr.zoo.load import load_model
from tests.zoo.conftest import CONFIG, refused, write_promptsr

PRESET_NAMES = {f"{name}-x{scale}" for name in ("promptsr", "promptsr-star", "promptsr-tiny") for scale in (2, 3, 4)}
BICUBIC_NAMES = {f"bicubic-x{scale}" for scale in (2, 3, 4)}
IMAGE = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the bundled weights, and no folder of one's own."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(listing, "WEIGHTS", folder)
    monkeypatch.delenv("PROMPTSR_MODELS", raising=False)
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of one's own models."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("PROMPTSR_MODELS", str(folder))
    return folder


def listed() -> dict[str, ModelInfo]:
    models = list_models()
    by_name = {model.name: model for model in models}
    assert len(by_name) == len(models), "a name appears twice"
    return by_name


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_a_model(scale: int) -> None:
    model = load_model(f"bicubic-x{scale}")
    assert torch.equal(model(IMAGE), upscale(IMAGE, scale))
    assert (model.name, model.scale, model.parameters, model.min_tile) == (f"bicubic-x{scale}", scale, 0, 1)
    assert (model.architecture, model.device) == ("Bicubic", torch.device("cpu"))


@pytest.mark.parametrize("kind", [Path, str])
def test_a_file_is_a_model(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "mine.v2.safetensors"
    network = write_promptsr(path)
    model = load_model(kind(path))
    assert (model.name, model.scale, model.min_tile) == ("mine.v2", 3, 6)  # lcm of windows of 3 and anchors of 2
    assert (model.architecture, model.parameters) == ("PromptSR", count(network))
    image = IMAGE.clone().requires_grad_()
    result = model(image)
    assert torch.equal(result, network(IMAGE))
    [gradient] = torch.autograd.grad(result.sum(), image)
    assert float(gradient.abs().sum()) > 0
    moved = model.to("meta")
    assert moved.device == torch.device("meta") and replace(moved, network=model.network) == model


def test_list_without_any_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTSR_MODELS", str(tmp_path / "nowhere"))
    models = listed()
    assert models.keys() == PRESET_NAMES | BICUBIC_NAMES
    assert {name for name, model in models.items() if model.has_weights} == BICUBIC_NAMES
    assert all(name == f"{name.rpartition('-x')[0]}-x{model.scale}" for name, model in models.items())
    for preset in PRESETS_LISTED:
        for scale in SCALES:
            with torch.device("meta"):
                network = PromptSR(replace(PRESETS[preset], scale=scale))
            assert models[f"{preset}-x{scale}"].parameters == count(network)
    assert models["bicubic-x2"].parameters == 0


def test_bundled_weights_are_loaded_by_name_and_listed_with_scores(bundled: Path, own: Path) -> None:
    network = write_promptsr(bundled / "promptsr-tiny-x2.safetensors", replace(CONFIG, scale=2))
    write_promptsr(own / "promptsr-tiny-x2.safetensors")  # the name keeps meaning the bundled weights
    scores = {"Set5": {"psnr_y": 33.7, "ssim_y": 0.93}}
    (bundled / "scores.json").write_text(json.dumps({"models": {"promptsr-tiny-x2": scores, "bicubic-x2": scores}}))
    models = listed()
    assert models["promptsr-tiny-x2"] == ModelInfo("promptsr-tiny-x2", 2, count(network), True, scores)
    assert models["bicubic-x2"].scores == scores and models["bicubic-x3"].scores == {}
    model = load_model("promptsr-tiny-x2")
    assert model.name == "promptsr-tiny-x2" and torch.equal(model(IMAGE), network(IMAGE))


@pytest.mark.parametrize("name", sorted(PRESET_NAMES))
def test_a_preset_without_weights_says_how_to_get_them(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"No weights come with {name} yet.*promptsr train.*bicubic-x4"):
        load_model(name)


@pytest.mark.parametrize("name", ["", "bicubic", "bicubic-x5", "bicubic-x44", "promptsr", "promptsr-x5", "PromptSR-x4"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"bicubic-x2, bicubic-x3, bicubic-x4|no weights file"):
        load_model(name)


def test_the_first_opponent_is_the_largest_network_of_others() -> None:
    def opponent(*others: ModelInfo) -> str:
        return first_opponent([own, bicubic, *others], 4, {"own"}, "PromptSR")

    own, bicubic = ModelInfo("own", 4, 50, True, {}), ModelInfo("bicubic-x4", 4, 0, True, {}, "Bicubic")
    small, large = ModelInfo("small", 4, 20, True, {}), ModelInfo("large", 4, 40, True, {})
    peer, larger_peer = ModelInfo("peer", 4, 10, True, {}, "IMDN"), ModelInfo("larger", 4, 30, True, {}, "CRAFT")
    untrained, x2 = ModelInfo("untrained", 4, 99, False, {}, "IMDN"), ModelInfo("x2", 2, 99, True, {}, "IMDN")
    assert opponent(peer, large, larger_peer, untrained, x2) == "larger"
    assert opponent(small, large, untrained, x2) == "large"
    assert opponent(untrained, x2) == "bicubic-x4"


def test_own_models_are_listed_and_loaded_by_name(own: Path) -> None:
    network = write_promptsr(own / "my model.safetensors")
    write_promptsr(own / "promptsr-x4.safetensors", replace(CONFIG, scale=2))  # a preset's name, another scale
    for name in ("text.safetensors", "promptsr-x3.safetensors", "notes.txt"):
        (own / name).write_text("no weights")
    models = listed()
    assert models.keys() == PRESET_NAMES | BICUBIC_NAMES | {"my model"}
    assert models["my model"] == ModelInfo("my model", 3, count(network), True, {})
    assert models["promptsr-x4"].has_weights and models["promptsr-x4"].scale == 2 == load_model("promptsr-x4").scale
    assert not models["promptsr-x2"].has_weights and not models["promptsr-x3"].has_weights
    assert torch.equal(load_model("my model")(IMAGE), network(IMAGE))
    with pytest.raises(CheckpointError, match="my model"):
        load_model("my other model")
    for damaged in ("text", "promptsr-x3"):
        with pytest.raises(CheckpointError, match=rf"{damaged}\.safetensors is truncated"):
            load_model(damaged)
    refused(own)  # a folder


def test_sub_folders_are_searched_and_what_is_ignored_is_said(own: Path) -> None:
    (own / "b" / "deep").mkdir(parents=True)
    (own / ".hidden").mkdir()
    for path in ("top.safetensors", "b/twice.safetensors", "b/deep/twice.safetensors", ".hidden/secret.safetensors"):
        write_promptsr(own / path)
    write_promptsr(own / "bicubic-x2.safetensors")
    write_promptsr(own / "a:b.safetensors")
    for path in ("twice.pth", "b/[b].safetensors", "b/notes.txt"):
        (own / path).write_text("no weights")
    listing = search_models()
    assert {model.name for model in listing.models} == PRESET_NAMES | BICUBIC_NAMES | {"top", "twice"}
    reasons = {str(path.relative_to(own)): reason for path, reason in listing.ignored}
    expected = {
        "twice.pth": "twice means b/twice.safetensors",
        "b/deep/twice.safetensors": "twice means b/twice.safetensors",
        "bicubic-x2.safetensors": "bicubic-x2 comes with PromptSR",
        "a:b.safetensors": "module:function",
        "b/[b].safetensors": "is truncated",
        "b/notes.txt": "its suffix is none of .safetensors, .pth, .pt, .ckpt, .onnx",
    }
    assert reasons.keys() == expected.keys()
    assert all(hint in reasons[name] for name, hint in expected.items())
    assert load_model("top").scale == 3


def test_a_missing_folder_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTSR_MODELS", str(tmp_path / "nowhere"))
    assert search_models().ignored == [(tmp_path / "nowhere", "it is no folder: correct PROMPTSR_MODELS")]
