"""Small networks of which no part is idle, shared by the tests of the model."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR

SMALL = {
    "scale": 2,
    "channels": 8,
    "groups": 2,
    "blocks_per_group": 2,
    "anchor_stride": 2,
    "window_size": 4,
    "category_size": 16,
    "heads": 2,
}


def build_lively(seed: int = 0, **overrides: Any) -> PromptSR:
    """A small network with random weights everywhere, and similarity maps that are far from flat."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = PromptSR(ModelConfig(**{**SMALL, **overrides}))
        for name, parameter in network.named_parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
            if name.endswith(("query.weight", "key.weight", "anchor.weight")):
                parameter.mul_(2)
            if name.endswith("position_bias"):
                parameter.mul_(10)
    return network.eval()


@pytest.fixture(scope="session")
def lively() -> Callable[..., PromptSR]:
    """`lively(seed=0, **settings)`: see `build_lively`."""
    return build_lively
