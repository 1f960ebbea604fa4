"""The zoo: what a name means, what the list says, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from promptsr.config import PRESETS, ModelConfig
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError
from promptsr.zoo import load as zoo
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import Bicubic, ModelInfo, list_models, load_model

CONFIG = ModelConfig(
    scale=3, channels=8, groups=1, blocks_per_group=1, anchor_stride=2, window_size=3, category_size=16, heads=2
)
PRESET_NAMES = {f"{name}-x{scale}" for name in ("promptsr", "promptsr-star", "promptsr-tiny") for scale in (2, 3, 4)}
BICUBIC_NAMES = {f"bicubic-x{scale}" for scale in (2, 3, 4)}


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in the place of the bundled weights, and no folder of one's own."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    monkeypatch.setattr(zoo, "WEIGHTS", folder)
    monkeypatch.delenv("PROMPTSR_MODELS", raising=False)
    return folder


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of one's own models."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("PROMPTSR_MODELS", str(folder))
    return folder


def write(path: Path, config: ModelConfig = CONFIG) -> PromptSR:
    with torch.random.fork_rng():
        torch.manual_seed(config.scale)
        network = PromptSR(config).requires_grad_(False)
    save_checkpoint(path, config, network.state_dict(), {})
    return network


def listed() -> dict[str, ModelInfo]:
    models = list_models()
    by_name = {model.name: model for model in models}
    assert len(by_name) == len(models), "a name appears twice"
    return by_name


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_a_model(scale: int) -> None:
    model = load_model(f"bicubic-x{scale}")
    image = torch.rand(2, 3, 7, 5)
    assert torch.equal(model(image), upscale(image, scale))
    assert (model.name, model.scale, model.parameters, model.min_tile) == (f"bicubic-x{scale}", scale, 0, 1)
    assert isinstance(model.network, Bicubic) and model.device == torch.device("cpu")


@pytest.mark.parametrize("as_path", [True, False])
def test_a_file_is_a_model(tmp_path: Path, as_path: bool) -> None:
    path = tmp_path / "mine.v2.safetensors"
    network = write(path)
    model = load_model(path if as_path else str(path))
    assert (model.name, model.scale, model.min_tile) == ("mine.v2", 3, 6)  # lcm of windows of 3 and anchors of 2
    assert model.parameters == sum(p.numel() for p in network.parameters())
    image = torch.rand(1, 3, 5, 7)
    assert torch.equal(model(image), network(image))


def test_gradients_reach_the_image(tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors")
    image = torch.rand(1, 3, 5, 7, requires_grad=True)
    load_model(tmp_path / "w.safetensors")(image).sum().backward()
    assert image.grad is not None and float(image.grad.abs().sum()) > 0


def test_a_model_moves_to_another_device(tmp_path: Path) -> None:
    write(tmp_path / "w.safetensors")
    model = load_model(tmp_path / "w.safetensors")
    moved = model.to("meta")
    assert moved.device == torch.device("meta")
    assert replace(moved, network=model.network) == model


def test_list_without_any_weights() -> None:
    models = listed()
    assert models.keys() == PRESET_NAMES | BICUBIC_NAMES
    assert {name for name, model in models.items() if model.has_weights} == BICUBIC_NAMES
    assert all(name == f"{name.rpartition('-x')[0]}-x{model.scale}" for name, model in models.items())
    for name in ("promptsr-x4", "promptsr-tiny-x2"):
        preset, _, scale = name.rpartition("-x")
        network = PromptSR(replace(PRESETS[preset], scale=int(scale)))
        assert models[name].parameters == sum(p.numel() for p in network.parameters())
    assert models["bicubic-x2"].parameters == 0


def test_bundled_weights_are_loaded_by_name_and_listed_with_scores(bundled: Path) -> None:
    small = replace(CONFIG, scale=2)
    network = write(bundled / "promptsr-tiny-x2.safetensors", small)
    scores = {"Set5": {"psnr_y": 33.7, "ssim_y": 0.93}}
    (bundled / "scores.json").write_text(json.dumps({"models": {"promptsr-tiny-x2": scores, "bicubic-x2": scores}}))
    models = listed()
    assert models["promptsr-tiny-x2"] == ModelInfo(
        "promptsr-tiny-x2", 2, sum(p.numel() for p in network.parameters()), True, scores
    )
    assert models["bicubic-x2"].scores == scores and models["bicubic-x3"].scores == {}
    image = torch.rand(1, 3, 6, 6)
    model = load_model("promptsr-tiny-x2")
    assert model.name == "promptsr-tiny-x2" and torch.equal(model(image), network(image))


@pytest.mark.parametrize("name", sorted(PRESET_NAMES))
def test_a_preset_without_weights_says_how_to_get_them(name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"No weights come with {name} yet.*promptsr train.*bicubic-x4"):
        load_model(name)


@pytest.mark.parametrize("name", ["", "bicubic", "bicubic-x5", "bicubic-x44", "promptsr", "promptsr-x5", "PromptSR-x4"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(CheckpointError, match=r"bicubic-x2, bicubic-x3, bicubic-x4|no weights file"):
        load_model(name)


def test_unusable_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    for path in (tmp_path / "text.safetensors", tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match=path.name):
            load_model(path)


def test_own_models_are_listed_and_loaded_by_name(own: Path) -> None:
    network = write(own / "my model.safetensors")
    write(own / "promptsr-x4.safetensors", replace(CONFIG, scale=4))
    (own / "text.safetensors").write_text("no weights")
    (own / "notes.txt").write_text("nothing")
    models = listed()
    assert models.keys() == PRESET_NAMES | BICUBIC_NAMES | {"my model"}
    assert models["my model"] == ModelInfo("my model", 3, sum(p.numel() for p in network.parameters()), True, {})
    assert models["promptsr-x4"].has_weights and not models["promptsr-x2"].has_weights
    image = torch.rand(1, 3, 6, 6)
    assert torch.equal(load_model("my model")(image), network(image))
    assert load_model("promptsr-x4").scale == 4
    with pytest.raises(CheckpointError, match="my model"):
        load_model("my other model")
    with pytest.raises(CheckpointError, match=r"text\.safetensors"):
        load_model("text")


def test_a_bundled_name_keeps_its_meaning(bundled: Path, own: Path) -> None:
    network = write(bundled / "promptsr-x3.safetensors")
    write(own / "promptsr-x3.safetensors", replace(CONFIG, channels=16))
    image = torch.rand(1, 3, 6, 6)
    assert torch.equal(load_model("promptsr-x3")(image), network(image))


def test_a_damaged_file_with_a_presets_name_spoils_no_list(own: Path) -> None:
    (own / "promptsr-x4.safetensors").write_bytes(b"damaged")
    assert not listed()["promptsr-x4"].has_weights
    with pytest.raises(CheckpointError, match=r"promptsr-x4\.safetensors is truncated"):
        load_model("promptsr-x4")


def test_a_presets_name_says_the_scale_of_its_file(own: Path) -> None:
    write(own / "promptsr-x4.safetensors", replace(CONFIG, scale=2))
    assert listed()["promptsr-x4"].scale == 2 == load_model("promptsr-x4").scale


def test_a_folder_of_own_models_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PROMPTSR_MODELS", str(tmp_path / "nowhere"))
    assert listed().keys() == PRESET_NAMES | BICUBIC_NAMES
