"""SAN: Dai et al., "Second-Order Attention Network for Single Image Super-Resolution", CVPR 2019."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.padding import pad_to
from promptsr.zoo.peers.parts import ResidualBlock, count, enlarging, gate
from promptsr.zoo.peers.peer import Peer

_QUADRANT, _LARGEST, _ROUNDS = 2, 1000, 5
_SQUEEZE = 8
"""How many times fewer channels the non-local attention has."""


class SAN(Peer):
    """Upscale images of any size from 1 x 1 on; shorter sides than four pixels are padded to these.

    The authors' files hold a few tensors without use, and so does this network.
    """

    TITLE = "SAN"
    NAMES: ClassVar[dict[str, str]] = {
        "head.0.": "encoder.",
        "RG.": "groups.",
        ".rcab.": ".blocks.",
        ".conv_first.": ".",
        ".soca.conv_du.": ".attention.gate.",
        "non_local.attention.": "unused_attention.",
        "non_local.non_local.": "non_local.",
        ".phi.0.": ".phi.",
        ".g.0.": ".g.",
        "tail.0.": "upsampling.",
        "tail.1.": "decoder.",
    }
    MIN_TILE = 2 * _QUADRANT
    BYTES_PER_PIXEL = 14336

    def __init__(self, scale: int, width: int = 64, groups: int = 20, blocks: int = 10, squeezed: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean, self.add_mean = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)  # were trained with the rest
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        self.groups = nn.ModuleList(Group(width, blocks, squeezed) for _ in range(groups))
        self.gamma = nn.Parameter(torch.zeros(1))
        self.non_local = NonLocal(width)
        self.conv_last = nn.Conv2d(width, width, 3, padding=1)
        self.unused_attention = SecondOrder(width, width // _SQUEEZE)
        self.upsampling = enlarging(width, scale)
        self.decoder = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        return {
            "width": len(state["encoder.weight"]),
            "groups": count(state, "groups."),
            "blocks": count(state, "groups.0.blocks."),
            "squeezed": len(state["groups.0.attention.gate.0.weight"]),
        }

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        height, width = image.shape[2:]
        shallow = self.encoder(self.sub_mean(255 * pad_to(image, 1, 2 * _QUADRANT)))
        x = first = self.non_local(shallow)
        for group in self.groups:
            x = group(x) + self.gamma * first
        x = self.non_local(x) + shallow
        out: Tensor = self.add_mean(self.decoder(self.upsampling(x))) / 255
        return out[..., : self.scale * height, : self.scale * width]


class Group(nn.Module):
    """LSRAG: residual blocks, second-order attention and a convolution, residual."""

    def __init__(self, width: int, blocks: int, squeezed: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.attention = SecondOrder(width, squeezed)
        self.conv_last = nn.Conv2d(width, width, 3, padding=1)
        self.gamma = nn.Parameter(torch.zeros(1))  # without use

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        out: Tensor = self.conv_last(self.attention(self.blocks(features))) + features
        return out


class SecondOrder(nn.Module):
    """SOCA: weigh the channels by the square root of their covariance matrix, found by Newton-Schulz iteration."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.gate = gate(width, squeezed, width)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same; the covariance is that of the central 1000 x 1000 pixels at most."""
        top, left = (max(0, side - _LARGEST) // 2 for side in features.shape[2:])
        x = features[:, :, top : top + _LARGEST, left : left + _LARGEST].flatten(2)
        x = x - x.mean(2, keepdim=True)
        covariance = x @ x.mT / x.shape[2]  # B x C x C
        trace = covariance.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]
        unit = torch.eye(x.shape[1], device=x.device, dtype=x.dtype)
        root, inverse = covariance / trace, unit
        for _ in range(_ROUNDS):
            step = (3 * unit - inverse @ root) / 2
            root, inverse = root @ step, step @ inverse
        weights = (root * trace.sqrt()).mean(1)[:, :, None, None]
        out: Tensor = self.gate(weights) * features
        return out


class NonLocal(nn.Module):
    """RL-NL: attention of the pixels of a quadrant to its maxima of 2 x 2 pixels, residual."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta, self.phi, self.g = (nn.Conv2d(width, width // _SQUEEZE, 1) for _ in range(3))
        self.W = nn.Conv2d(width // _SQUEEZE, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        height, width = features.shape[2:]
        halves = features.split((height // 2, height - height // 2), 2)
        rows = (half.split((width // 2, width - width // 2), 3) for half in halves)
        return torch.cat([torch.cat([self._attend(quadrant) for quadrant in row], 3) for row in rows], 2)

    def _attend(self, x: Tensor) -> Tensor:
        queries = self.theta(x)
        keys, values = (F.max_pool2d(layer(x), 2).flatten(2).mT for layer in (self.phi, self.g))
        got = F.scaled_dot_product_attention(queries.flatten(2).mT, keys, values, scale=1.0)
        out: Tensor = self.W(got.mT.reshape(queries.shape)) + x
        return out
