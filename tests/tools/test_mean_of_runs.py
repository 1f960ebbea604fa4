"""Means of runs: the weights, and what is told of them."""

from pathlib import Path

import pytest
import torch

from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.checkpoints import load_checkpoint, read_info, save_checkpoint
from tools.mean_of_runs import mean_of_runs


def write(path: Path, seed: int, **overrides: int) -> PromptSR:
    """Write fresh weights as a run would."""
    config = preset("promptsr-tiny", groups=1, blocks_per_group=1, **overrides)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = PromptSR(config)
    save_checkpoint(path, config, network.state_dict(), {"train": {"data": ["photos"], "seed": seed}, "step": 70})
    return network


def test_weights_are_averaged_and_say_of_what(tmp_path: Path) -> None:
    paths = [tmp_path / f"{seed}.safetensors" for seed in range(3)]
    sources = [write(path, seed).state_dict() for seed, path in enumerate(paths)]
    mean_of_runs(paths, tmp_path / "mean.safetensors")
    mean = load_checkpoint(tmp_path / "mean.safetensors").state_dict()
    assert mean.keys() == sources[0].keys()
    for name, value in mean.items():
        torch.testing.assert_close(value, (sources[0][name] + sources[1][name] + sources[2][name]) / 3)
    info = read_info(tmp_path / "mean.safetensors")
    assert info["train"] == {"data": ["photos"], "seed": 0, "init": ["0.safetensors", "1.safetensors", "2.safetensors"]}
    assert [(each["file"], each["train"]["seed"], each["step"]) for each in info["mean_of"]] == [
        (f"{seed}.safetensors", seed, 70) for seed in range(3)
    ]


def test_unlike_networks_and_single_files_have_no_mean(tmp_path: Path) -> None:
    write(tmp_path / "a.safetensors", 0)
    write(tmp_path / "b.safetensors", 0, scale=2)
    with pytest.raises(UserError, match="two files"):
        mean_of_runs([tmp_path / "a.safetensors"], tmp_path / "mean.safetensors")
    with pytest.raises(CheckpointError, match="different networks"):
        mean_of_runs([tmp_path / "a.safetensors", tmp_path / "b.safetensors"], tmp_path / "mean.safetensors")
    assert not (tmp_path / "mean.safetensors").exists()
