"""IDN: Hui et al., "Fast and Accurate Single Image Super-Resolution via Information Distillation Network",
CVPR 2018.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.imaging.resize import upscale
from promptsr.zoo.padding import mirror
from promptsr.zoo.peers.peer import Peer

_WIDTH, _KEPT, _UNITS, _SLOPE, _KERNEL = 64, 16, 4, 0.05, 17
_LUMA = (65.481 / 255, 128.553 / 255, 24.966 / 255)
"""Weights of red, green and blue in the brightness Y of ITU-R BT.601, which runs from 16 / 255 to 235 / 255."""
_BORDER = 4
"""Pixels of mirror image, beyond the reach of bicubic interpolation."""


class IDN(Peer):
    """Upscale images of any size from 1 x 1 on: bicubic interpolation, and what the network adds to the brightness."""

    TITLE = "IDN"
    NAMES: ClassVar[dict[str, str]] = {
        "conv1.": "encoder.0.",
        "conv2.": "encoder.2.",
        **{
            f"conv{i + 3}_{j + 1}.": f"units.{i}.{'lower' if j < 3 else 'upper'}.{2 * (j % 3)}."
            for i in range(_UNITS)
            for j in range(6)
        },
        **{f"down{i + 1}.": f"units.{i}.fusion." for i in range(_UNITS)},
        "upsample.": "decoder.",
    }
    BYTES_PER_PIXEL = 3072

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = nn.Sequential(
            nn.Conv2d(1, _WIDTH, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
        )
        self.units = nn.Sequential(*(Unit() for _ in range(_UNITS)))
        self.decoder = nn.ConvTranspose2d(_WIDTH, 1, _KERNEL, stride=scale, padding=_KERNEL // 2)

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        luma = torch.einsum("bchw,c->bhw", image, image.new_tensor(_LUMA))[:, None] + 16 / 255
        detail = self.decoder(self.units(self.encoder(luma)))  # begins at the centre of the first pixel
        grown = upscale(mirror(image, (_BORDER, _BORDER), (_BORDER, _BORDER)), self.scale)
        margin = _BORDER * self.scale
        smooth = grown[..., margin:-margin, margin:-margin]
        return smooth + F.pad(detail, (self.scale - 1, 0, self.scale - 1, 0)) * (255 / 219)


class Unit(nn.Module):
    """DBlock: three convolutions, a part of whose channels is kept; three more refine the rest; then compression."""

    def __init__(self) -> None:
        super().__init__()
        passed = _WIDTH - _KEPT
        self.lower = _chain(_WIDTH, passed, 32, _WIDTH)
        self.upper = _chain(passed, _WIDTH, passed, _WIDTH + _KEPT)
        self.fusion = nn.Conv2d(_WIDTH + _KEPT, _WIDTH, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        kept, passed = self.lower(features).split((_KEPT, _WIDTH - _KEPT), 1)
        x = self.upper(passed) + torch.cat([features, kept], 1)
        return F.leaky_relu(self.fusion(x), _SLOPE)


def _chain(a: int, b: int, c: int, d: int) -> nn.Sequential:
    """Return three convolutions, the second in four groups."""
    layers = (nn.Conv2d(a, b, 3, padding=1), nn.Conv2d(b, c, 3, padding=1, groups=4), nn.Conv2d(c, d, 3, padding=1))
    return nn.Sequential(*(each for layer in layers for each in (layer, nn.LeakyReLU(_SLOPE))))
