"""The interface of every model of the zoo."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from promptsr.support.errors import ConfigError, UserError


@dataclass(frozen=True)
class SRModel:
    """A super-resolution model of any architecture."""

    name: str
    scale: int
    network: nn.Module
    """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
    min_tile: int = 1
    """Smallest tile in LR pixels that makes sense: the side of an attention window."""
    bytes_per_pixel: int = 512
    """Peak working memory of a forward pass for each LR pixel."""
    fixed_bytes: int = 0
    """Working memory of a forward pass that does not grow with the image."""
    size_multiple: int = 1
    """The network pads the sides of its input to multiples of this."""
    tiling: Literal["supported", "discouraged", "internal"] = "supported"
    """Use of tiles: allowed, only where memory demands it, or never because the network cuts the image itself."""
    half_precision: bool = False
    """True if float16 is known to be safe."""
    differentiable: bool = True
    """True if gradients reach the image."""
    parameter_count: int | None = None
    """Number of parameters, where `network` does not hold them (ONNX)."""
    max_tile: tuple[int, int] = (sys.maxsize, sys.maxsize)
    """Height and width of the largest tile in LR pixels, where an ONNX file was exported for one size. The network cuts
    larger images itself."""
    weights: str | None = None
    """The entry of the file that was taken, such as "params_ema of params, params_ema"; None if it has no entries."""

    @property
    def architecture(self) -> str:
        """Name of the architecture, such as PromptSR, HPINet, SwinIR or ONNX."""
        return self.network._get_name()

    @property
    def parameters(self) -> int:
        """Number of learned parameters."""
        if self.parameter_count is not None:
            return self.parameter_count
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def device(self) -> torch.device:
        """Device of the network; the CPU if it has no tensors."""
        first = next(chain(self.network.parameters(), self.network.buffers()), None)
        return torch.device("cpu") if first is None else first.device

    def working_memory(self, height: int, width: int) -> int:
        """Return the bytes that a forward pass over one image of this size, in LR pixels, should need at its peak."""
        rows, columns = (-(-side // self.size_multiple) * self.size_multiple for side in (height, width))
        return self.fixed_bytes + self.bytes_per_pixel * rows * columns

    def __call__(self, image: Tensor) -> Tensor:
        """Upscale B x 3 x H x W in [0, 1]; gradients flow if they are enabled."""
        result: Tensor = self.network(image)
        return result

    def to(self, device: torch.device | str) -> "SRModel":
        """Return this model on another device."""
        return replace(self, network=self.network.to(device))


def common_scale(models: Sequence[SRModel]) -> int:
    """Return the scale that all these models share.

    Raises:
        ConfigError: none is given, or they differ.
    """
    if not models:
        raise ConfigError("There is no model to compare: name at least one.")
    for model in models[1:]:
        if model.scale != models[0].scale:
            raise ConfigError(
                f"{model.name} enlarges x{model.scale} and {models[0].name} x{models[0].scale}: compare models of one "
                "scale."
            )
    return models[0].scale


def check_names(models: Sequence[SRModel]) -> None:
    """Check that no two models have the same name.

    Raises:
        ConfigError: two have.
    """
    name, times = Counter(model.name for model in models).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"Two models are called {name}: compare different models, or rename one's file.")


def find_device(name: str) -> torch.device:
    """Return the device of this name, such as "cpu", "cuda" or "cuda:1".

    Raises:
        UserError: this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # PyTorch has no single type for this
        raise UserError(f'The device "{name}" is not available on this machine: use "cpu".') from error
    return device
