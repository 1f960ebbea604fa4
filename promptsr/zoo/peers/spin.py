"""SPIN: Zhang et al., "Lightweight Image Super-Resolution with Superpixel Token Interaction", ICCV 2023."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.parts import ChannelNorm, add_patches, count, cut_patches, enlarging, gate, overlapping_cuts
from promptsr.zoo.peers.peer import Peer
from promptsr.zoo.peers.superpixels import Between, Within, superpixels

_SIZES = (12, 16, 20, 24, 12, 16, 20, 24)
"""Side of a superpixel, and of a patch, in each block."""
_SQUEEZE = 8


class SPIN(Peer):
    """Upscale images of any size from 1 x 1 on.

    A side shorter than a superpixel has one superpixel. The original is not defined for these. Superpixels are found
    without gradients, as in the original.
    """

    TITLE = "SPIN"
    NAMES: ClassVar[dict[str, str]] = {
        "first_conv.": "encoder.",
        "upconv.": "upsampling.0.",
        "upconv1.": "upsampling.0.",
        "upconv2.": "upsampling.3.",
        "last_conv.": "decoder.",
        "mid_convs.": "convolutions.",
        **{f".{kind}_layer.{i}.": f".{kind}.{i}." for kind in ("inter", "intra", "local") for i in range(2)},
        ".norm.norm.": ".norm.",
        ".ca.1.": ".channels.0.",
        ".ca.3.": ".channels.2.",
        ".pa.": ".pixels.",
        ".attn.to_": ".",
    }
    MIN_TILE = max(_SIZES)
    BYTES_PER_PIXEL = 16384

    def __init__(self, scale: int, width: int = 40, blocks: int = 8, query: int = 24, hidden: int = 72) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        sizes = [_SIZES[i] for i in range(blocks)]
        self.blocks = nn.ModuleList(Block(width, query, hidden, size) for size in sizes)
        self.convolutions = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in sizes)
        self.upsampling = enlarging(width, scale, nn.LeakyReLU(0.1))
        self.decoder = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        return {
            "width": len(state["encoder.weight"]),
            "blocks": count(state, "blocks."),
            "query": len(state["blocks.0.inter.0.q.weight"]),
            "hidden": len(state["blocks.0.inter.1.fc1.weight"]),
        }

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        x = self.encoder(image)
        for block, convolution in zip(self.blocks, self.convolutions, strict=True):
            x = x + convolution(block(x))
        detail: Tensor = self.decoder(self.upsampling(x))
        return detail + F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)


class Block(nn.Module):
    """Attention between superpixels and pixels, within superpixels, and within patches."""

    def __init__(self, width: int, query: int, hidden: int, size: int) -> None:
        super().__init__()
        self._size = size
        self.inter = nn.ModuleList((Between(width, query), FeedForward(width, hidden)))
        self.intra = nn.ModuleList((Within(width, query, size), FeedForward(width, hidden)))
        self.local = nn.ModuleList((Local(width, query, size), FeedForward(width, hidden)))

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        affinity, x = superpixels(features.detach(), self._size), features
        for attention, feed_forward in (self.inter, self.intra):
            x = attention(x, affinity) + x
            x = feed_forward(x) + x
        attention, feed_forward = self.local
        x = attention(x) + x
        out: Tensor = feed_forward(x) + x
        return out


class Local(nn.Module):
    """Attention within overlapping patches, which are averaged."""

    def __init__(self, width: int, query: int, size: int) -> None:
        super().__init__()
        self._size = size
        self.norm = nn.LayerNorm(width)
        self.q, self.k = (nn.Linear(width, query, bias=False) for _ in range(2))
        self.v = nn.Linear(width, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        height, width = features.shape[2:]
        rows, columns = overlapping_cuts(height, self._size), overlapping_cuts(width, self._size)
        patches = cut_patches(features, rows, columns)  # B x m x n x h x w x C
        x = self.norm(patches.flatten(3, 4))
        x = F.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x)).reshape(patches.shape)
        times = rows.flatten().bincount()[:, None] * columns.flatten().bincount()
        return add_patches(x, rows, columns, height, width) / times.to(x)


class FeedForward(nn.Module):
    """FFN on features that are weighted by channel and by pixel."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, eps=1e-6)
        self.channels = gate(width, width // _SQUEEZE, width, nn.GELU)
        self.pixels = gate(width, width // _SQUEEZE, 1, nn.GELU)
        self.fc1 = nn.Conv2d(2 * width, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        x = self.norm(features)
        x = torch.cat([self.channels(x.mean((2, 3), keepdim=True)) * x, self.pixels(x) * x], 1)
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out
