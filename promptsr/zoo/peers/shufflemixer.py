"""ShuffleMixer: Sun et al., "ShuffleMixer: An Efficient ConvNet for Image Super-Resolution", NeurIPS 2022."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.parts import ChannelNorm, count, enlarging
from promptsr.zoo.peers.peer import Peer

_SHUFFLED, _WIDER = 8, 16
"""Groups between which channels are shuffled; channels that a block's convolution adds."""


class ShuffleMixer(Peer):
    """Upscale images of any size from 1 x 1 on."""

    TITLE = "ShuffleMixer"
    NAMES: ClassVar[dict[str, str]] = {
        "to_feat.": "encoder.",
        "upsapling.": "upsampling.",  # sic
        "tail.": "decoder.",
        ".net.": ".layers.",
        **{f".norm{i + 1}.body.": f".mixing.{i}.norm." for i in range(2)},
        **{f".mlp{i + 1}.fc.": f".mixing.{i}.mlp." for i in range(2)},
        ".conv.": ".convolution.",
    }
    BYTES_PER_PIXEL = 11264

    def __init__(self, scale: int, width: int = 64, blocks: int = 5, kernel: int = 7, hidden: int = 64) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(Block(width, kernel, hidden) for _ in range(blocks)))
        self.upsampling = enlarging(width, scale, nn.SiLU(), kernel=1)
        self.decoder = nn.Conv2d(width, 3, 3, padding=1)

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        return {
            "width": len(state["encoder.weight"]),
            "blocks": count(state, "blocks."),
            "kernel": state["blocks.0.layers.0.spatial.weight"].shape[3],
            "hidden": len(state["blocks.0.layers.0.mixing.0.mlp.0.weight"]),
        }

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        detail: Tensor = self.decoder(self.upsampling(self.blocks(self.encoder(image))))
        return detail + F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)


class Block(nn.Module):
    """FMB: two layers, then a convolution, each residual."""

    def __init__(self, width: int, kernel: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(Layer(width, kernel, hidden) for _ in range(2)))
        self.convolution = nn.Sequential(
            nn.Conv2d(width, width + _WIDER, 3, padding=1), nn.SiLU(), nn.Conv2d(width + _WIDER, width, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        features = self.layers(features) + features
        out: Tensor = self.convolution(features) + features
        return out


class Layer(nn.Module):
    """SML: mix the channels of each pixel, convolve each channel with a large kernel, and mix again."""

    def __init__(self, width: int, kernel: int, hidden: int) -> None:
        super().__init__()
        self.mixing = nn.ModuleList(Mixing(width, hidden) for _ in range(2))
        self.spatial = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        out: Tensor = self.mixing[1](self.spatial(self.mixing[0](features)))
        return out


class Mixing(nn.Module):
    """Mix half of the channels, and shuffle all; residual."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, bias=False)
        self.mlp = nn.Sequential(nn.Conv2d(width // 2, hidden, 1), nn.SiLU(), nn.Conv2d(hidden, width // 2, 1))

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        mixed, rest = self.norm(features).chunk(2, 1)
        return F.channel_shuffle(torch.cat([self.mlp(mixed), rest], 1), _SHUFFLED) + features
