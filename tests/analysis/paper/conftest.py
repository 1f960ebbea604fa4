"""A small network for x4, and materials of the quick form with it and the sample photographs."""

from pathlib import Path

import pytest

from analysis.ablations.networks import fresh
from analysis.paper.materials import Materials, prepare
from promptsr.config import ModelConfig
from promptsr.zoo.checkpoints import save_checkpoint

SMALL = ModelConfig(channels=8, groups=2, blocks_per_group=1, heads=2, window_size=8, anchor_stride=4, category_size=16)


@pytest.fixture(scope="session")
def small_x4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a network of random weights, which are not those of the control."""
    path = tmp_path_factory.mktemp("models") / "small.safetensors"
    save_checkpoint(path, SMALL, fresh(SMALL, seed=7).state_dict(), {})
    return path


@pytest.fixture(scope="session")
def materials(small_x4: Path, tmp_path_factory: pytest.TempPathFactory) -> Materials:
    out = tmp_path_factory.mktemp("paper")
    return prepare(out, model=str(small_x4), against=["bicubic-x4"], quick=True)
