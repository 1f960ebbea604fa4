"""LatticeNet: Luo et al., "LatticeNet: Towards Lightweight Image Super-Resolution with Lattice Block", ECCV 2020."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from promptsr.zoo.peers.parts import gate
from promptsr.zoo.peers.peer import Peer

_WIDTH, _NARROW, _SQUEEZED, _BLOCKS, _SLOPE = 64, 48, 4, 4, 0.05


class LatticeNet(Peer):
    """Upscale images of any size from 1 x 1 on."""

    TITLE = "LatticeNet"
    NAMES: ClassVar[dict[str, str]] = {
        **{f"body_unit{i + 1}.": f"blocks.{i}." for i in range(_BLOCKS)},
        **{f"T_tdm{i + 1}.0.": f"fusions.{i}.deep." for i in range(_BLOCKS - 1)},
        **{f"L_tdm{i + 1}.0.": f"fusions.{i}.shallow." for i in range(_BLOCKS - 1)},
        "conv_block0.": "analysis.",
        "conv_block1.": "synthesis.",
        **{f"{kind}_ca{i + 1}.": f"{kind}_weights.{i}." for kind in ("fea", "x") for i in range(2)},
        ".conv_mean.": ".mean_gate.",
        ".conv_std.": ".deviation_gate.",
        "conv1.": "encoder.0.",
        "conv2.": "encoder.1.",
        "tail.": "decoder.",
    }
    BYTES_PER_PIXEL = 5120

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.sub_mean = nn.Conv2d(3, 3, 1)  # was trained with the rest
        self.encoder = nn.Sequential(nn.Conv2d(3, _WIDTH, 3, padding=1), nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1))
        self.blocks = nn.ModuleList(LatticeBlock() for _ in range(_BLOCKS))
        self.fusions = nn.ModuleList(BackwardFusion() for _ in range(_BLOCKS - 1))
        self.decoder = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.Conv2d(_WIDTH, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )
        self.add_mean = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        shallow = x = self.encoder(self.sub_mean(255 * image))
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        for fusion, output in zip(self.fusions, outputs[-2::-1], strict=True):
            x = fusion(x, output)
        out: Tensor = self.add_mean(self.decoder(x + shallow)) / 255
        return out


class BackwardFusion(nn.Module):
    """Concatenate halves of deep and of shallow features."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(_WIDTH, _WIDTH // 2, 1)
        self.shallow = nn.Conv2d(_WIDTH, _WIDTH // 2, 1)

    def forward(self, deep: Tensor, shallow: Tensor) -> Tensor:
        """B x C x H x W each -> the same."""
        return torch.relu(torch.cat([self.deep(deep), self.shallow(shallow)], 1))


class LatticeBlock(nn.Module):
    """LB: two chains of convolutions, crossed like a butterfly with weights that depend on the features."""

    def __init__(self) -> None:
        super().__init__()
        self.analysis = _chain()
        self.synthesis = _chain()
        self.fea_weights = nn.ModuleList(Coefficients() for _ in range(2))
        self.x_weights = nn.ModuleList(Coefficients() for _ in range(2))
        self.compress = nn.Conv2d(2 * _WIDTH, _WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        changed = self.analysis(features)
        upper = features + self.fea_weights[0](changed) * changed
        lower = changed + self.x_weights[0](features) * features
        changed = self.synthesis(upper)
        upper = changed + self.fea_weights[1](lower) * lower
        lower = lower + self.x_weights[1](changed) * changed
        out: Tensor = self.compress(torch.cat([upper, lower], 1))
        return out


class Coefficients(nn.Module):
    """Combination coefficients: the average of a gate of the channels' means, and one of their deviations."""

    def __init__(self) -> None:
        super().__init__()
        self.mean_gate, self.deviation_gate = (gate(_WIDTH, _SQUEEZED, _WIDTH) for _ in range(2))

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> B x C x 1 x 1."""
        correction = min(1, features[0, 0].numel() - 1)  # a single pixel has no deviation
        deviation, mean = torch.std_mean(features, (2, 3), correction=correction, keepdim=True)
        out: Tensor = (self.mean_gate(mean) + self.deviation_gate(deviation)) / 2
        return out


def _chain() -> nn.Sequential:
    sizes = ((_WIDTH, _NARROW), (_NARROW, _NARROW), (_NARROW, _WIDTH))
    return nn.Sequential(*(layer for a, b in sizes for layer in (nn.Conv2d(a, b, 3, padding=1), nn.LeakyReLU(_SLOPE))))
