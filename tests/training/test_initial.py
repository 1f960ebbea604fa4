"""Initial weights of a training: fresh ones, those of another network, the mean of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR, build_model
from promptsr.support.errors import CheckpointError
from promptsr.training.initial import load_matching
from promptsr.zoo.checkpoints import load_checkpoint, save_checkpoint

if TYPE_CHECKING:
    from tests.training.conftest import Trial


def initial(path: Path, config: ModelConfig, seed: int = 99) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    state = PromptSR(config).state_dict()
    save_checkpoint(path, config, state, {})
    return state


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_init_from_another_scale_takes_over_the_body(trial: Trial, tmp_path: Path, optimizer: str) -> None:
    start = initial(tmp_path / "x2.safetensors", trial.model)
    larger = replace(trial, model=replace(trial.model, scale=3))
    larger.finish(init=(str(tmp_path / "x2.safetensors"),), optimizer=optimizer, **trial.STILL)
    trained = larger.tensors("final.safetensors")
    body = {name for name in start if not name.startswith("decoder.")}
    assert len(start.keys() - body) == 2
    assert trial.same({name: trained[name] for name in body}, {name: start[name] for name in body})
    assert trained["decoder.0.weight"].shape == (27, 8, 3, 3)


@pytest.mark.parametrize("preset", ["promptsr", "promptsr-tiny"])
def test_another_scale_begins_with_the_same_image(preset: str, tmp_path: Path) -> None:
    """At half the scale with the mean of every four pixels; at twice, with each of them four times."""
    torch.manual_seed(0)
    settings = {"channels": 8, "groups": 1, "blocks_per_group": 1, "window_size": 4, "bicubic_skip": False}
    x2, x4 = (build_model(preset, scale=scale, **settings) for scale in (2, 4))
    image = torch.rand(1, 3, 9, 8)
    for source, target in ((x4, x2), (x2, x4)):
        save_checkpoint(tmp_path / "source.safetensors", source.config, source.state_dict(), {})
        load_matching(target, [tmp_path / "source.safetensors"])
        large, small = (x4(image), x2(image))
        torch.testing.assert_close(torch.nn.functional.avg_pool2d(large, 2), small, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(large, small.repeat_interleave(2, 2).repeat_interleave(2, 3), atol=1e-5, rtol=1e-4)
    x3 = build_model(preset, scale=3, **settings)
    load_matching(x3, [tmp_path / "source.safetensors"])
    assert abs(float(x3(image).mean() - small.mean())) < 1e-5


def test_init_from_the_same_scale_takes_over_all(trial: Trial, tmp_path: Path) -> None:
    start = initial(tmp_path / "x2.safetensors", trial.model)
    trial.finish(init=(str(tmp_path / "x2.safetensors"),), **trial.STILL)
    assert trial.same(trial.tensors("final.safetensors"), start)


def test_init_from_a_run_takes_its_averaged_weights(trial: Trial) -> None:
    trial.finish(steps=3)
    again = trial.beside("again")
    again.finish(init=(str(trial.output / "last.ckpt"),), **trial.STILL)
    assert trial.same(again.tensors("final.safetensors"), trial.tensors("final.safetensors"))


def test_init_from_a_checkpoint_of_others_is_refused(trial: Trial, tmp_path: Path) -> None:
    torch.save({"state_dict": {"a.b": torch.zeros(2)}}, tmp_path / "theirs.ckpt")
    with pytest.raises(CheckpointError, match=r"theirs\.ckpt is not the state of a training run: choose last\.ckpt"):
        trial.finish(init=(str(tmp_path / "theirs.ckpt"),), **trial.STILL)


def test_init_from_several_takes_their_mean(trial: Trial, tmp_path: Path) -> None:
    states = [initial(tmp_path / f"{seed}.safetensors", trial.model, seed) for seed in (1, 2, 3)]
    paths = tuple(str(tmp_path / f"{seed}.safetensors") for seed in (1, 2, 3))
    trial.finish(init=paths, **trial.STILL)
    mean = {name: sum(state[name].double() for state in states) / 3 for name in states[0]}
    found = trial.tensors("final.safetensors")
    torch.testing.assert_close({name: value.double() for name, value in found.items()}, mean, atol=1e-7, rtol=1e-6)


def test_a_deeper_network_begins_as_the_shallower_one(trial: Trial, tmp_path: Path) -> None:
    initial(tmp_path / "shallow.safetensors", trial.model)
    deeper = replace(trial, model=replace(trial.model, blocks_per_group=4))
    deeper.finish(init=(str(tmp_path / "shallow.safetensors"),), **trial.STILL)
    image = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))
    paths = (tmp_path / "shallow.safetensors", deeper.output / "final.safetensors")
    with torch.no_grad():
        before, after = (load_checkpoint(path)(image) for path in paths)
    torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-5)
    assert len(deeper.tensors("final.safetensors")) > len(load_checkpoint(paths[0]).state_dict())


def test_unusable_initial_weights_are_refused(trial: Trial, tmp_path: Path) -> None:
    initial(tmp_path / "fine.safetensors", trial.model)
    initial(tmp_path / "wide.safetensors", replace(trial.model, channels=12))
    with pytest.raises(CheckpointError, match="channels"):
        trial.finish(init=(str(tmp_path / "wide.safetensors"),))
    with pytest.raises(CheckpointError, match="are of different networks"):
        trial.finish(init=(str(tmp_path / "fine.safetensors"), str(tmp_path / "wide.safetensors")))
    with pytest.raises(CheckpointError, match="no weights file"):
        trial.finish(init=(str(tmp_path / "nothing.safetensors"),))
    assert not trial.output.exists()
