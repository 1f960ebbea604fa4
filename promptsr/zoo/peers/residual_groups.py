"""Outer network of SwinIR, which several networks share: Liang et al., "SwinIR: Image Restoration Using Swin
Transformer", ICCV Workshops 2021.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from promptsr.zoo.peers.parts import ChannelNorm, count, mean_colour
from promptsr.zoo.peers.peer import Peer


class ResidualGroups(Peer):
    """Encoder, groups between two normalisations, convolution, decoder; the encoder's features are added at the end."""

    NAMES: ClassVar[dict[str, str]] = {
        "conv_first.": "encoder.",
        "conv_after_body.": "convolution.",
        "patch_embed.norm.": "first_norm.",
        "upsample.": "decoder.",
        "layers.": "groups.",
        ".residual_group.": ".",
    }

    def __init__(self, scale: int, width: int, groups: Iterable[nn.Module]) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        self.first_norm = ChannelNorm(width)
        self.groups = nn.Sequential(*groups)
        self.norm = ChannelNorm(width)
        self.convolution = nn.Conv2d(width, width, 3, padding=1)
        self.decoder = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the width and the depths from names and shapes."""
        depths = [count(state, f"groups.{i}.blocks.") for i in range(count(state, "groups."))]
        return {"width": len(state["encoder.weight"]), "depths": depths}

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        height, width = image.shape[2:]
        mean = mean_colour(image)
        shallow = self.encoder(self._pad(image) - mean)
        x = self.norm(self._deepen(self.first_norm(shallow)))
        out: Tensor = self.decoder(self.convolution(x) + shallow) + mean
        return out[..., : self.scale * height, : self.scale * width]

    def _pad(self, image: Tensor) -> Tensor:
        """Return the image as large as the groups need it."""
        return image

    def _deepen(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same: the groups."""
        out: Tensor = self.groups(features)
        return out
