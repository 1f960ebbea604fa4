"""A small network with uneven attention, an image, and the paper's equations at work on both; photographs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor, nn

from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR
from tests.model.test_equations import global_prompting

CONFIG = ModelConfig(
    scale=2, channels=8, groups=2, blocks_per_group=2, anchor_stride=4, window_size=8, category_size=100, heads=2,
    prompt_update=0.3,
)  # fmt: skip
WINDOWS_ONLY: dict[str, Any] = {"anchor_prompting": False, "coarse_prompting": False, "fine_prompting": "off"}
HEIGHT, WIDTH = 20, 30  # padded to 24 x 32: 6 x 8 anchors, 768 tokens, 8 category groups of which the last two overlap


def uneven(std: float = 0.25, **settings: Any) -> PromptSR:
    """A network like `CONFIG` of which no map is nearly even."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = PromptSR(ModelConfig(**{**vars(CONFIG), **settings})).eval().requires_grad_(False)
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=std)
    return network


def noise(height: int = HEIGHT, width: int = WIDTH, seed: int = 5) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="session")
def network() -> PromptSR:
    return uneven()


@pytest.fixture(scope="session")
def image() -> Tensor:
    return noise()


def on_image(values: Any) -> np.ndarray:
    """768 values of the padded image -> 20 x 30."""
    return np.asarray(values).reshape(24, 32)[:HEIGHT, :WIDTH]


@contextmanager
def given_to(network: nn.Module, name: str) -> Iterator[list[Any]]:
    """Collects the inputs of a module."""
    seen: list[Any] = []
    handle = network.get_submodule(name).register_forward_pre_hook(lambda _module, args: seen.extend(args))
    yield seen
    handle.remove()


def hooks(network: nn.Module) -> list[Any]:
    kinds = ("_forward_hooks", "_forward_pre_hooks")
    return [hook for module in network.modules() for kind in kinds for hook in getattr(module, kind).values()]


def by_equations(network: PromptSR, image: Tensor, path: str) -> dict[str, np.ndarray]:
    """The taps of a global anchor prompting layer by eq. 6 to 10 in float64, from what enters the layer."""
    with given_to(network, path) as seen, torch.no_grad():
        network(image)
    given: list[Any] = [
        value if value is None else value[0].double().numpy() for value in seen
    ]  # 24 x 32 x C, 48 x C or None
    weights = {name: value.double().numpy() for name, value in network.get_submodule(path).state_dict().items()}
    return global_prompting(given[0], weights, 4, network.config.prompt_update, given[1])


@pytest.fixture(scope="session")
def equations(network: PromptSR, image: Tensor) -> dict[str, np.ndarray]:
    """The taps of the last block."""
    return by_equations(network, image, "groups.1.blocks.1.global_prompting")


@pytest.fixture(scope="session")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """54 x 40 pixels, in a file whose name rich would take for markup."""
    path = tmp_path_factory.mktemp("photos") / "[red]face.png"
    Image.fromarray(data.astronaut()[0:120:3, 150:312:3]).save(path)
    return path
