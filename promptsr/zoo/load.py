"""Load and list models: `load_model("promptsr-tiny-x4" | "file.pth" | "hf://owner/name" | "module:function")`."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from promptsr.imaging.resize import upscale
from promptsr.support.errors import CheckpointError
from promptsr.zoo import hub
from promptsr.zoo.adapters import each_scale, is_foreign, load_file, load_function, take_scale
from promptsr.zoo.checkpoints import load_checkpoint
from promptsr.zoo.formats import FUNCTION, split_scale
from promptsr.zoo.listing import OWN_MODELS, PRESETS_LISTED, SCALES, WEIGHTS, ModelInfo, find_checkpoint, list_models
from promptsr.zoo.memory import working_memory
from promptsr.zoo.sr_model import SRModel

__all__ = ["OWN_MODELS", "SCALES", "WEIGHTS", "Bicubic", "ModelInfo", "list_models", "load_model", "load_models"]


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
            `hf://owner/name` for weights on the Hugging Face Hub (`promptsr.zoo.hub.download`); or `module:function`
            for a function of yours that builds one (`promptsr.zoo.adapters.load_function`), which runs your code. Of a
            file for several scales, `file.pth@x3` is one model.

    Raises:
        CheckpointError: no such model, a preset without bundled weights, an unusable file or function, or the package
            that reads the file is missing.
    """
    if match := re.fullmatch(r"bicubic-x([234])", str(name)):
        return SRModel(str(name), int(match[1]), Bicubic(int(match[1])))
    if str(name).startswith(hub.PREFIX):
        short, fetched = hub.download(str(name))
        return replace(_open(short, fetched), name=short)
    file, scale = split_scale(str(name))
    if found := find_checkpoint(str(name)):
        return _open(str(name), found, scale)
    if str(name) in {f"{preset}-x{scale}" for preset in PRESETS_LISTED for scale in SCALES}:
        raise CheckpointError(
            f"No weights come with {name} yet: train them with `promptsr train`, or choose one of {_usable()}."
        )
    if os.path.exists(name):
        file, scale = str(name), None
    path = Path(file)
    if FUNCTION.fullmatch(str(name)) and not os.path.exists(path):
        return load_function(str(name))
    if path.suffix or os.path.exists(path):
        return _open(path.stem, path, scale)
    raise CheckpointError(f"There is no model {name}: choose one of {_usable()}, or the path of a checkpoint.")


def load_each(path: Path) -> list[SRModel]:
    """Load all models of a checkpoint: one, or one for each scale of a network that serves several.

    Raises:
        CheckpointError: as `load_model`.
    """
    return each_scale(path, load_file(path)) if is_foreign(path) else [_open(path.stem, path)]


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


def _open(name: str, path: Path, scale: int | None = None) -> SRModel:
    if is_foreign(path):
        return take_scale(path, load_file(path), scale)
    network = load_checkpoint(path, scale)
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


def _usable() -> str:
    return ", ".join(model.name for model in list_models() if model.has_weights)
