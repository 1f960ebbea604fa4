"""The protocol that every model of the zoo speaks."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SRModel:
    """A super-resolution model, whatever is inside."""

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
    """Whether an image may be cut into tiles: yes, only if it must be, or never because the network does so itself."""
    half_precision: bool = False
    """Whether float16 is known to be safe."""
    differentiable: bool = True
    """Whether gradients reach the image."""

    @property
    def architecture(self) -> str:
        """What the network is called, such as PromptSR, HPINet, SwinIR or ONNX."""
        return self.network._get_name()

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(parameter.numel() for parameter in self.network.parameters())

    @property
    def device(self) -> torch.device:
        tensors = [*self.network.parameters(), *self.network.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    def working_memory(self, height: int, width: int) -> int:
        """Bytes that a forward pass over one image of this size, in LR pixels, is expected to need at its peak."""
        rows, columns = (-(-side // self.size_multiple) * self.size_multiple for side in (height, width))
        return self.fixed_bytes + self.bytes_per_pixel * rows * columns

    def __call__(self, image: Tensor) -> Tensor:
        """Upscales B x 3 x H x W in [0, 1]; gradients flow if they are enabled."""
        result: Tensor = self.network(image)
        return result

    def to(self, device: torch.device | str) -> "SRModel":
        """This model on another device."""
        return replace(self, network=self.network.to(device))
