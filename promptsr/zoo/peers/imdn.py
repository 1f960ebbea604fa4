"""IMDN: Hui et al., "Lightweight Image Super-Resolution with Information Multi-distillation Network", ACM MM 2019."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from promptsr.zoo.peers.parts import gate
from promptsr.zoo.peers.peer import Peer

_WIDTH, _KEPT, _BLOCKS, _SLOPE = 64, 16, 6, 0.05


class IMDN(Peer):
    """Upscale images of any size from 1 x 1 on."""

    TITLE = "IMDN"
    NAMES: ClassVar[dict[str, str]] = {
        "fea_conv.": "encoder.",
        **{f"IMDB{i + 1}.": f"blocks.{i}." for i in range(_BLOCKS)},
        **{f".c{i + 1}.": f".distillation.{i}." for i in range(4)},
        ".c5.": ".fusion.",
        ".cca.conv_du.": ".attention.gate.",
        "c.0.": "fusion.0.",
        "LR_conv.": "convolution.",
        "upsampler.": "decoder.",
    }
    BYTES_PER_PIXEL = 6144

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, _WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(DistillationBlock() for _ in range(_BLOCKS))
        self.fusion = nn.Sequential(nn.Conv2d(_BLOCKS * _WIDTH, _WIDTH, 1), nn.LeakyReLU(_SLOPE))
        self.convolution = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
        self.decoder = nn.Sequential(nn.Conv2d(_WIDTH, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        shallow = self.encoder(image)
        x, outputs = shallow, []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        out: Tensor = self.decoder(self.convolution(self.fusion(torch.cat(outputs, 1))) + shallow)
        return out


class DistillationBlock(nn.Module):
    """IMDB: three convolutions keep a part of their channels each and pass on the rest; a fourth refines the last."""

    def __init__(self) -> None:
        super().__init__()
        passed = _WIDTH - _KEPT
        sizes = [(_WIDTH, _WIDTH), (passed, _WIDTH), (passed, _WIDTH), (passed, _KEPT)]
        self.distillation = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, padding=1) for inputs, outputs in sizes)
        self.activation = nn.LeakyReLU(_SLOPE)
        self.attention = ContrastAttention()
        self.fusion = nn.Conv2d(4 * _KEPT, _WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        *splitting, last = self.distillation
        x, kept = features, []
        for convolution in splitting:
            part, x = self.activation(convolution(x)).split((_KEPT, _WIDTH - _KEPT), 1)
            kept.append(part)
        distilled = torch.cat([*kept, last(x)], 1)  # B x 4 kept x H x W
        out: Tensor = self.fusion(self.attention(distilled)) + features
        return out


class ContrastAttention(nn.Module):
    """CCA: weigh the channels by their contrast, the sum of a channel's mean and standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = gate(_WIDTH, _WIDTH // 16, _WIDTH)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        deviation, mean = torch.std_mean(features, dim=(2, 3), correction=0, keepdim=True)  # B x C x 1 x 1
        return features * self.gate(deviation + mean)
