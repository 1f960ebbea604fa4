"""Every model behind one small protocol: `load_model("promptsr-tiny-x4" | "bicubic-x4" | "file.safetensors")`."""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from promptsr.checkpoints import load_checkpoint, read_config
from promptsr.config import PRESETS, ModelConfig
from promptsr.errors import CheckpointError
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.peers import SUFFIXES, load_peer
from promptsr.sr_model import SRModel

SCALES = (2, 3, 4)
WEIGHTS = Path(str(files("promptsr") / "weights"))
"""Folder of the bundled checkpoints: `<model name>.safetensors`, and `scores.json` with what they measured."""
OWN_MODELS = "PROMPTSR_MODELS"
"""Environment variable that may name a folder of your own checkpoints: every `*.safetensors` in it is a model by its
stem. A name that is bundled keeps meaning the bundled weights."""

_PRESETS_LISTED = ("promptsr", "promptsr-star", "promptsr-tiny")


@dataclass(frozen=True)
class ModelInfo:
    """One line of the list of models."""

    name: str
    scale: int
    parameters: int
    has_weights: bool
    """False: a preset to train; `load_model` has nothing to load."""
    scores: dict[str, dict[str, float]]
    """Measured `psnr_y` and `ssim_y` by benchmark set."""


class Bicubic(nn.Module):
    """Bicubic interpolation: the model that every other one has to beat."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W -> B x 3 x sH x sW."""
        return upscale(image, self.scale)


def load_model(name: str | Path) -> SRModel:
    """A model ready to use, in evaluation mode, on the CPU.

    Args:
        name: a name from `list_models`, or the path of a checkpoint: one of PromptSR (`.safetensors`), or one that the
            authors of a network in `promptsr.peers` published (`.pth`).

    Raises:
        CheckpointError: no such model, a preset without bundled weights, or an unusable file.
    """
    if match := re.fullmatch(r"bicubic-x([234])", str(name)):
        return SRModel(str(name), int(match[1]), Bicubic(int(match[1])))
    path = _checkpoint(str(name))
    if path.is_file():
        return _wrap(str(name), load_checkpoint(path))
    if str(name) in {f"{preset}-x{scale}" for preset in _PRESETS_LISTED for scale in SCALES}:
        raise CheckpointError(
            f"No weights come with {name} yet: train them with `promptsr train`, or choose one of {_usable()}."
        )
    if Path(name).suffix.lower() in SUFFIXES:
        return load_peer(Path(name))
    if Path(name).suffix or Path(name).exists():
        return _wrap(Path(name).stem, load_checkpoint(Path(name)))
    raise CheckpointError(f"There is no model {name}: choose one of {_usable()}, or the path of a checkpoint.")


def list_models() -> list[ModelInfo]:
    """All models by name: bicubic, the presets with and without weights, and those in your own folder.

    Files in that folder that hold no PromptSR network are left out; `load_model` says what is wrong with them.
    """
    scores = _scores()
    models = [ModelInfo(f"bicubic-x{s}", s, 0, True, scores.get(f"bicubic-x{s}", {})) for s in SCALES]
    for preset in _PRESETS_LISTED:
        for scale in SCALES:
            name = f"{preset}-x{scale}"
            try:
                config, trained = read_config(_checkpoint(name)), True
            except CheckpointError:
                config, trained = replace(PRESETS[preset], scale=scale), False
            models.append(ModelInfo(name, config.scale, _count(config), trained, scores.get(name, {})))
    known = {model.name for model in models}
    for name, path in _own_checkpoints().items():
        if name not in known:
            with suppress(CheckpointError):
                config = read_config(path)
                models.append(ModelInfo(name, config.scale, _count(config), True, {}))
    return models


def _checkpoint(name: str) -> Path:
    """Where the weights of a named model lie, if there are any."""
    bundled = WEIGHTS / f"{name}.safetensors"
    return bundled if bundled.is_file() else _own_checkpoints().get(name, bundled)


def _own_checkpoints() -> dict[str, Path]:
    folder = os.environ.get(OWN_MODELS)
    return {path.stem: path for path in sorted(Path(folder).glob("*.safetensors"))} if folder else {}


def _wrap(name: str, network: PromptSR) -> SRModel:
    config = network.config
    # Features, their queries, keys and values, and copies of these by window and by category; then the HR image.
    floats = 32 * config.channels + 9 * config.scale**2
    return SRModel(name, config.scale, network, config.size_multiple, 4 * floats)


def _usable() -> str:
    return ", ".join(model.name for model in list_models() if model.has_weights)


@cache  # building nine networks takes a second
def _count(config: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in PromptSR(config).parameters())


def _scores() -> dict[str, Any]:
    path = WEIGHTS / "scores.json"
    scores: dict[str, Any] = json.loads(path.read_text())["models"] if path.is_file() else {}
    return scores
