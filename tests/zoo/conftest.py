"""A small PromptSR network and its files, and the messages with which files are refused."""

import re
from pathlib import Path

import pytest
import torch

from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError
from promptsr.zoo.checkpoints import save_checkpoint
from promptsr.zoo.load import load_model

CONFIG = ModelConfig(
    scale=3, channels=8, groups=1, blocks_per_group=1, anchor_stride=2, window_size=3, category_size=16, heads=2
)


def write_promptsr(path: Path, config: ModelConfig = CONFIG) -> PromptSR:
    """Save a network with random weights, always the same, and return it."""
    with torch.random.fork_rng():
        torch.manual_seed(config.scale)
        network = PromptSR(config).requires_grad_(False)
    save_checkpoint(path, config, network.state_dict(), {})
    return network


def refused(path: Path) -> str:
    """The message with which a file is refused: one line that names the file."""
    with pytest.raises(CheckpointError, match=re.escape(path.stem)) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)
