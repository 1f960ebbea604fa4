"""A small image set and small networks for the studies of anchor prompts and of ablations."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from analysis.anchors.image_folders import ImageSet, find_image_set
from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import OWN_MODELS
from promptsr.zoo.sr_model import SRModel


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """Three categories of four images, which are 24 x 20 LR pixels at x2, but for two of church: 16 x 20."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("church", "dog", "tench"):
        (root / name).mkdir()
        for i in range(4):
            shape = (32 if (name, i // 2) == ("church", 1) else 48, 40, 3)
            pixels = rng.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return find_image_set(root)


@pytest.fixture(scope="session")
def small_model() -> SRModel:
    """PromptSR x2 with two residual groups of two blocks and random weights; it pads to multiples of 8."""
    config = ModelConfig(
        scale=2, channels=8, groups=2, blocks_per_group=2, heads=2, window_size=8, anchor_stride=4, category_size=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PromptSR(config).eval().requires_grad_(False)
    return SRModel("small", 2, network, 8)


@pytest.fixture(scope="session")
def small_checkpoint(small_model: SRModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of `small_model`."""
    path, network = tmp_path_factory.mktemp("models") / "small.safetensors", small_model.network
    assert isinstance(network, PromptSR)
    save_checkpoint(path, network.config, network.state_dict(), {})
    return path


@pytest.fixture
def save_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, ModelConfig], None]:
    """Saves a network of this configuration, but small, by name in the user's own folder, which holds a damaged one."""
    monkeypatch.setenv(OWN_MODELS, str(tmp_path))
    (tmp_path / "b.safetensors").write_bytes(b"no weights at all")

    def save(name: str, config: ModelConfig) -> None:
        small = replace(config, channels=8, groups=1, heads=2)
        save_checkpoint(tmp_path / f"{name}.safetensors", small, PromptSR(small).state_dict(), {})

    return save
