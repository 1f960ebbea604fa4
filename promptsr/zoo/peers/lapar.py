"""LAPAR: Li et al., "LAPAR: Linearly-Assembled Pixel-Adaptive Regression Network for Single Image Super-Resolution and
Beyond", NeurIPS 2020.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from promptsr.zoo.peers.parts import count
from promptsr.zoo.peers.peer import Peer

_KERNEL = 5
_UNITS = 4


class LAPAR(Peer):
    """Upscale images of any size from 1 x 1 on: filter the bicubic image with a kernel of its own at each pixel."""

    TITLE = "LAPAR"
    NAMES: ClassVar[dict[str, str]] = {
        "w_conv.rgb_mean": "mean",
        "decom_conv.weight": "dictionary",
        "w_conv.tail.w_conv.": "assembly.",
        "w_conv.tail.fuse.": "fusion.",
        "w_conv.tail.tail_k": "parallel.",
        **{f"w_conv.tail.scale_k{size}.scale": f"parallel_scale.{size}" for size in (3, 5)},
        "w_conv.head.0.": "encoder.",
        "w_conv.body.": "blocks.",
        "w_conv.up.0.": "upsampling.0.",
        **{f".b{i}.": f".parts.{i}." for i in range(_UNITS)},
        ".res_scale.scale": ".change_scale",
        ".x_scale.scale": ".input_scale",
        ".weight_g": ".parametrizations.weight.original0",
        ".weight_v": ".parametrizations.weight.original1",
    }
    BYTES_PER_PIXEL = 21504

    def __init__(self, scale: int, width: int = 32, blocks: int = 4, kernels: int = 72) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.register_buffer("dictionary", torch.zeros(kernels, 1, _KERNEL, _KERNEL))
        self.encoder = _convolution(3, width)
        self.blocks = nn.Sequential(*(FusionBlock(width) for _ in range(blocks)))
        self.upsampling = nn.Sequential(_convolution(width, width * scale**2), nn.ReLU(), nn.PixelShuffle(scale))
        self.parallel = nn.ModuleDict({size: _convolution(width, width, int(size)) for size in ("3", "5")})
        self.parallel_scale = nn.ParameterDict({size: torch.ones(1) for size in ("3", "5")})
        self.fusion = _convolution(width, width)
        self.assembly = _convolution(width, kernels)

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from the shapes."""
        return {
            "width": len(state["encoder.bias"]),
            "blocks": count(state, "blocks."),
            "kernels": len(state["dictionary"]),
        }

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        x = self.blocks(torch.relu(self.encoder(image - self.get_buffer("mean"))))
        x = self.upsampling(x)
        x = sum(self.parallel_scale[size] * layer(x) for size, layer in self.parallel.items())
        weights = self.assembly(torch.relu(self.fusion(x)))  # B x kernels x sH x sW
        kernels = torch.einsum("bnhw,nk->bkhw", weights, self.get_buffer("dictionary").flatten(1))
        smooth = F.interpolate(image, scale_factor=self.scale, mode="bicubic", align_corners=False)
        margin = _KERNEL // 2
        # The original needs three pixels a side here.
        mode = "reflect" if min(smooth.shape[2:]) > margin else "replicate"
        around = F.unfold(F.pad(smooth, (margin,) * 4, mode=mode), _KERNEL)  # B x 3k x sHsW
        out: Tensor = (around.view(len(image), 3, _KERNEL**2, *smooth.shape[2:]) * kernels[:, None]).sum(2)
        return out


class FusionBlock(nn.Module):
    """LFB: a chain of residual units whose results are concatenated and fused, residual with learned weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Unit(width) for _ in range(_UNITS))
        self.reduction = _convolution(_UNITS * width, width)
        self.change_scale = nn.Parameter(torch.ones(1))
        self.input_scale = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        x, outputs = features, []
        for part in self.parts:
            x = part(x)
            outputs.append(x)
        return self.change_scale * self.reduction(torch.cat(outputs, 1)) + self.input_scale * features


class Unit(nn.Module):
    """AWRU: two convolutions, residual with learned weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_convolution(width, width), nn.ReLU(), _convolution(width, width))
        self.change_scale = nn.Parameter(torch.ones(1))
        self.input_scale = nn.Parameter(torch.ones(1))

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        return self.change_scale * self.body(features) + self.input_scale * features


def _convolution(inputs: int, outputs: int, size: int = 3) -> nn.Module:
    convolution: nn.Module = weight_norm(nn.Conv2d(inputs, outputs, size, padding=size // 2))
    return convolution
