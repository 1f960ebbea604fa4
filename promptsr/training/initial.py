"""Weights that a training starts from, and the teacher that it may learn from."""

import math
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from promptsr.support.errors import CheckpointError, ConfigError
from promptsr.training.recipe import Recipe
from promptsr.zoo.checkpoints import load_checkpoint
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel
from promptsr.zoo.tensor_files import read_tensors

_LAST_LAYER = ("decoder.0.weight", "decoder.0.bias")
_BRANCH_END = re.compile(r"(?P<block>groups\.\d+\.blocks\.\d+\.).*\b(projection|feed_forward\.2)\.(weight|bias)")


def load_matching(network: nn.Module, paths: Sequence[Path]) -> None:
    """Copy every tensor of the same name and shape into a network; of several files the mean.

    Blocks that the files do not have begin as the identity: the deeper network does at first what the shallower one did
    (Chen et al., "Net2Net", ICLR 2016), if the number of residual groups is the same.

    The mean of runs that began with the same weights and saw other crops is better than each of them (Wortsman et al.,
    "Model soups", ICML 2022).

    The last layer of another scale begins as one whose sub-pixels are means of those that they cover: a network for x4
    begins as that network shrunk by half for x2.

    Args:
        network: gets the weights.
        paths: of checkpoints, or of the states of runs, whose averaged weights are taken.

    Raises:
        CheckpointError: an unusable file, one of a network with another number of channels, or files that differ in
            more than the values of their weights.
    """
    sources = [_weights(path) for path in paths]
    shapes = [{name: value.shape for name, value in source.items()} for source in sources]
    for path, other in zip(paths, shapes, strict=True):
        if other != shapes[0]:
            raise CheckpointError(f"{path} and {paths[0]} are of different networks: their mean is of no use.")
    wanted = network.state_dict()
    common = [name for name, shape in shapes[0].items() if name in wanted and shape == wanted[name].shape]
    if "encoder.weight" not in common:
        raise CheckpointError(f"{paths[0]} has another number of channels than this network: choose other weights.")
    mean = {name: torch.stack([source[name] for source in sources]).mean(0) for name in shapes[0]}
    new = {name: torch.zeros_like(wanted[name]) for name in wanted.keys() - set(common) if _adds(name, common)}
    for name in _LAST_LAYER:
        if name not in common:
            new[name] = _resampled(mean[name], len(wanted[name]))
    network.load_state_dict({name: mean[name] for name in common} | new, strict=False)


def _resampled(layer: Tensor, outputs: int) -> Tensor:
    """Give a last layer as many outputs as another scale needs: 3s^2 x ... -> outputs x ..."""
    old, new = (math.isqrt(count // 3) for count in (len(layer), outputs))
    grid = layer.reshape(3, old, old, -1).permute(0, 3, 1, 2)  # colours x s x s x rest -> colours x rest x s x s
    means = nn.functional.interpolate(grid, (new, new), mode="area")
    return means.permute(0, 2, 3, 1).reshape(outputs, *layer.shape[1:])  # -> outputs x ...


def _adds(name: str, common: Sequence[str]) -> bool:
    """Return whether a tensor ends a residual branch of a block that the files do not have."""
    found = _BRANCH_END.fullmatch(name)
    return found is not None and not any(other.startswith(found["block"]) for other in common)


def load_teacher(recipe: Recipe) -> SRModel:
    """Load the teacher that the recipe names.

    Raises:
        UserError: there is no such model, or it has another scale than the network.
    """
    teacher = load_model(str(recipe.teacher))
    if teacher.scale != recipe.model.scale:
        raise ConfigError(f"{recipe.teacher} upscales x{teacher.scale}: choose a teacher for x{recipe.model.scale}.")
    return teacher


def _weights(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".ckpt":
        return load_checkpoint(path).state_dict()
    state = read_tensors(path)
    if not {"recipe", "average"} <= state.keys():
        raise CheckpointError(
            f"{path} is not the state of a training run: choose last.ckpt of one, or a .safetensors file that "
            "`promptsr train` wrote."
        )
    average: dict[str, Tensor] = state["average"]
    return average
