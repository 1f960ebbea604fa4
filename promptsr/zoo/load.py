"""Load and list models: `load_model("promptsr-tiny-x4" | "file.pth" | "module:function")`."""

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from promptsr.config import PRESETS, ModelConfig
from promptsr.imaging.resize import upscale
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.adapters import FUNCTION, SUFFIXES, is_foreign, load_file, load_function
from promptsr.zoo.checkpoints import load_checkpoint, read_config
from promptsr.zoo.memory import working_memory
from promptsr.zoo.sr_model import SRModel

SCALES = (2, 3, 4)
WEIGHTS = Path(str(files("promptsr") / "weights"))
"""Folder of the bundled checkpoints: `<model name>.safetensors`, and `scores.json` with what they measured."""
OWN_MODELS = "PROMPTSR_MODELS"
"""Environment variable that may name a folder of your own checkpoints: every usable `.safetensors`, `.pth`, `.pt` or
`.onnx` file in it is a model by its stem; of two with the same stem, the one whose suffix comes first here. A name that
is bundled keeps meaning the bundled weights."""

_PRESETS_LISTED = ("promptsr", "promptsr-star", "promptsr-tiny")


@dataclass(frozen=True)
class ModelInfo:
    """Entry of the list of models."""

    name: str
    scale: int
    parameters: int
    has_weights: bool
    """False: a preset to train; `load_model` has nothing to load."""
    scores: dict[str, dict[str, float]]
    """Measured `psnr_y` and `ssim_y` by benchmark set."""
    architecture: str = PromptSR.__name__
    """As `SRModel.architecture`."""


class Bicubic(nn.Module):
    """Bicubic interpolation, the baseline."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W -> B x 3 x sH x sW."""
        return upscale(image, self.scale)


def load_model(name: str | Path) -> SRModel:
    """Load a model, in evaluation mode, on the CPU.

    Args:
        name: a name from `list_models`; or the path of a checkpoint, one of PromptSR (`.safetensors`) or of a network
            in `promptsr.zoo.peers` or in spandrel (`.pth`, `.pt`, `.safetensors`), or of an ONNX file; or
            `module:function` for a function of yours that builds one (`promptsr.zoo.adapters.load_function`), which
            runs your code.

    Raises:
        CheckpointError: no such model, a preset without bundled weights, an unusable file or function, or the package
            that reads the file is missing.
    """
    if match := re.fullmatch(r"bicubic-x([234])", str(name)):
        return SRModel(str(name), int(match[1]), Bicubic(int(match[1])))
    path = _checkpoint(str(name))
    if os.path.isfile(path):
        return _open(str(name), path)
    if str(name) in {f"{preset}-x{scale}" for preset in _PRESETS_LISTED for scale in SCALES}:
        raise CheckpointError(
            f"No weights come with {name} yet: train them with `promptsr train`, or choose one of {_usable()}."
        )
    path = Path(name)
    if FUNCTION.fullmatch(str(name)) and not os.path.exists(path):
        return load_function(str(name))
    if path.suffix or os.path.exists(path):
        return _open(path.stem, path)
    raise CheckpointError(f"There is no model {name}: choose one of {_usable()}, or the path of a checkpoint.")


def load_models(typed: Sequence[str]) -> list[SRModel]:
    """Load several models; those of the same name, such as two training runs' `best`, are named as they were typed.

    Raises:
        CheckpointError: one cannot be loaded.
    """
    models = [load_model(name) for name in typed]
    times = Counter(model.name for model in models)
    return [
        model if times[model.name] == 1 else replace(model, name=name)
        for name, model in zip(typed, models, strict=True)
    ]


def list_models() -> list[ModelInfo]:
    """List all models that have a name: bicubic, the presets with and without weights, and those in your own folder.

    A file of another network is loaded once, and again only when it changes. Files without a usable network are left
    out; `load_model` says what is wrong with them.
    """
    path = WEIGHTS / "scores.json"
    scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["models"] if path.is_file() else {}
    bicubic = ((f"bicubic-x{s}", s) for s in SCALES)
    models = [ModelInfo(name, s, 0, True, scores.get(name, {}), Bicubic.__name__) for name, s in bicubic]
    for preset in _PRESETS_LISTED:
        for scale in SCALES:
            name = f"{preset}-x{scale}"
            untrained = ModelInfo(name, scale, _count(replace(PRESETS[preset], scale=scale)), False, {})
            models.append(replace(_info(name, _checkpoint(name)) or untrained, scores=scores.get(name, {})))
    known = {model.name for model in models}
    own = (_info(name, path) for name, path in _own_checkpoints().items() if name not in known)
    return models + [model for model in own if model]


def _checkpoint(name: str) -> Path:
    """Return the path of the weights of a named model, if there are any."""
    bundled = WEIGHTS / f"{name}.safetensors"
    return bundled if os.path.isfile(bundled) else _own_checkpoints().get(name, bundled)


def _own_checkpoints() -> dict[str, Path]:
    folder = os.environ.get(OWN_MODELS)
    paths = [path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES] if folder else []
    # The first suffix comes last and wins. A name that reads as `module:function` must never run one.
    paths.sort(key=lambda path: (-SUFFIXES.index(path.suffix.lower()), path.name))
    return {path.stem: path for path in paths if not FUNCTION.fullmatch(path.stem)}


def _open(name: str, path: Path) -> SRModel:
    if is_foreign(path):
        return load_file(path)
    network = load_checkpoint(path)
    config, memory = network.config, working_memory(network.config)
    return SRModel(
        name,
        config.scale,
        network,
        min_tile=config.size_multiple,
        bytes_per_pixel=memory.per_pixel,
        fixed_bytes=memory.fixed,
        size_multiple=config.size_multiple,
    )


def _info(name: str, path: Path) -> ModelInfo | None:
    """Describe a file, without scores; None if it is missing or unusable."""
    if not path.is_file():
        return None
    status = path.stat()
    return _read_info(name, path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=256)
def _read_info(name: str, path: Path, _changed: int, _size: int) -> ModelInfo | None:
    try:
        if is_foreign(path):
            model = load_file(path)
            return ModelInfo(name, model.scale, model.parameters, True, {}, model.architecture)
        config = read_config(path)
    except UserError:
        return None
    return ModelInfo(name, config.scale, _count(config), True, {})


def _usable() -> str:
    return ", ".join(model.name for model in list_models() if model.has_weights)


@cache  # building nine networks takes a second
def _count(config: ModelConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in PromptSR(config).parameters())
