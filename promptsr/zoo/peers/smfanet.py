"""SMFANet+: Zheng et al., "SMFANet: A Lightweight Self-Modulation Feature Aggregation Network for Efficient Image
Super-Resolution", ECCV 2024.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.peer import Peer

_WIDTH, _BLOCKS, _POOLING = 48, 12, 8
_HIDDEN = 2 * _WIDTH
_PARTIAL = _HIDDEN // 4


class SMFANet(Peer):
    """Upscale images of any size from 1 x 1 on."""

    TITLE = "SMFANet+"
    NAMES: ClassVar[dict[str, str]] = {
        "to_feat.": "encoder.",
        "feats.": "blocks.",
        ".smfa.lde.conv_0.": ".aggregation.local.",
        ".smfa.lde.conv_1.": ".aggregation.local.3.",
        ".smfa.linear_0.": ".aggregation.entry.",
        ".smfa.linear_1.": ".aggregation.modulation.",
        ".smfa.linear_2.": ".aggregation.exit.",
        ".smfa.dw_conv.": ".aggregation.pooled.",
        ".smfa.alpha": ".aggregation.alpha",
        ".smfa.belt": ".aggregation.beta",
        ".pcfn.conv_0.": ".feed_forward.entry.",
        ".pcfn.conv_1.": ".feed_forward.partial.",
        ".pcfn.conv_2.": ".feed_forward.exit.",
        "to_img.": "decoder.",
    }
    MIN_TILE = _POOLING
    BYTES_PER_PIXEL = 5120

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, _WIDTH, 3, padding=1)
        self.blocks = nn.Sequential(*(ModulationBlock() for _ in range(_BLOCKS)))
        self.decoder = nn.Sequential(nn.Conv2d(_WIDTH, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        shallow = self.encoder(image)
        out: Tensor = self.decoder(self.blocks(shallow) + shallow)
        return out


class ModulationBlock(nn.Module):
    """FMB: aggregation, then a feed-forward network, each on pixels of unit length and residual."""

    def __init__(self) -> None:
        super().__init__()
        self.aggregation = Aggregation()
        self.feed_forward = PartialFeedForward()

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        features = self.aggregation(F.normalize(features)) + features
        out: Tensor = self.feed_forward(F.normalize(features)) + features
        return out


class Aggregation(nn.Module):
    """SMFA: a coarse non-local branch that modulates the features, and a local branch for their details."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(_WIDTH, 2 * _WIDTH, 1)
        self.local = nn.Sequential(
            nn.Conv2d(_WIDTH, 2 * _WIDTH, 3, padding=1, groups=_WIDTH),
            nn.Conv2d(2 * _WIDTH, 2 * _WIDTH, 1),
            nn.GELU(),
            nn.Conv2d(2 * _WIDTH, _WIDTH, 1),
        )
        self.pooled = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, groups=_WIDTH)
        self.alpha = nn.Parameter(torch.ones(1, _WIDTH, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, _WIDTH, 1, 1))
        self.modulation = nn.Conv2d(_WIDTH, _WIDTH, 1)
        self.exit = nn.Conv2d(_WIDTH, _WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same.

        The original needs 8 pixels a side. A shorter side is pooled to one pixel here, and a single pixel has no
        variance.
        """
        local, coarse = self.entry(features).chunk(2, 1)  # B x C x H x W each
        height, width = coarse.shape[2:]
        pooled = F.adaptive_max_pool2d(coarse, (max(1, height // _POOLING), max(1, width // _POOLING)))
        variance = coarse.var((2, 3), correction=min(1, height * width - 1), keepdim=True)  # B x C x 1 x 1
        weights = F.gelu(self.modulation(self.alpha * self.pooled(pooled) + self.beta * variance))
        modulated = coarse * F.interpolate(weights, size=(height, width), mode="nearest")
        out: Tensor = self.exit(modulated + self.local(local))
        return out


class PartialFeedForward(nn.Module):
    """PCFN: a feed-forward network whose 3 x 3 convolution sees a quarter of the channels only."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Conv2d(_WIDTH, _HIDDEN, 1)
        self.partial = nn.Conv2d(_PARTIAL, _PARTIAL, 3, padding=1)
        self.exit = nn.Conv2d(_HIDDEN, _WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        mixed, rest = F.gelu(self.entry(features)).split((_PARTIAL, _HIDDEN - _PARTIAL), 1)
        out: Tensor = self.exit(torch.cat([F.gelu(self.partial(mixed)), rest], 1))
        return out
