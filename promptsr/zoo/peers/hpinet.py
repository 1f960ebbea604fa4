"""HPINet-M: Liu et al., "From Coarse to Fine: Hierarchical Pixel Integration for Lightweight Image Super-Resolution",
AAAI 2023.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.parts import add_patches, cut_patches, enlarging, overlapping_cuts
from promptsr.zoo.peers.peer import Peer

_WIDTH, _QUERY, _HIDDEN, _LAYERS = 56, 32, 100, 3
_PATCHES = (12, 16, 20, 24, 12, 16, 20, 24)
"""Side of a patch in each stage."""


class HPINet(Peer):
    """Upscale images of any size from 1 x 1 on, each image of a batch on its own.

    A side shorter than a patch is cut in one: the patch is then as short as the side. The original is not defined for
    these. The best match is always an argmax: the original's Gumbel softmax of the training is not here.
    """

    TITLE = "HPINet-M"
    NAMES: ClassVar[dict[str, str]] = {
        "first_conv.": "encoder.",
        **{f"cross_match.{i}.norm.": f"stages.{i}.match_norm." for i in range(len(_PATCHES))},
        **{f"mid_convs.{i}.": f"stages.{i}.convolution." for i in range(len(_PATCHES))},
        "blocks.": "stages.",
        ".0.norm.": ".attention_norm.",
        ".0.fn.": ".",
        ".1.norm.": ".feed_forward.0.",
        ".1.fn.": ".feed_forward.",
        ".fc1.": ".1.",
        ".fc2.": ".3.",
        "upconv.": "upsampling.0.",
        "upconv1.": "upsampling.0.",
        "upconv2.": "upsampling.3.",
        "last_conv.": "decoder.",
    }
    MIN_TILE = max(_PATCHES)
    BYTES_PER_PIXEL = 16384

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = nn.Conv2d(3, _WIDTH, 3, padding=1)
        self.stages = nn.Sequential(*(Stage(size) for size in _PATCHES))
        self.upsampling = enlarging(_WIDTH, scale, nn.LeakyReLU(0.1))
        self.decoder = nn.Conv2d(_WIDTH, 3, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        detail: Tensor = self.decoder(self.upsampling(self.stages(self.encoder(image))))
        return detail + F.interpolate(image, scale_factor=self.scale, mode="bilinear", align_corners=False)


class Stage(nn.Module):
    """Cut features into overlapping patches, attend to each one's best match, then to itself, and merge; residual."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.match_norm = nn.LayerNorm(_WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(_LAYERS))
        self.convolution = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        height, width = features.shape[2:]
        # On the CPU: `_halvings` reads them.
        rows, columns = overlapping_cuts(height, self.size), overlapping_cuts(width, self.size)
        patches = cut_patches(features, rows, columns)  # B x m x n x h x w x C
        x = patches.flatten(3, 4).flatten(1, 2)  # B x patches x pixels x C
        matches = self.best_matches(x)
        for number, layer in enumerate(self.layers):
            x = layer(x, None if number else matches)
        x = add_patches(x.reshape(patches.shape), rows, columns, height, width)
        x = x * _halvings(rows, height).to(x)[:, None] * _halvings(columns, width).to(x)
        out: Tensor = self.convolution(x) + features
        return out

    def best_matches(self, patches: Tensor) -> Tensor:
        """Return for each patch the other one of the same image whose mean is most similar; a lone patch gets itself.

        B x patches x pixels x C -> the same.
        """
        batch, count = patches.shape[:2]
        means = self.match_norm(patches.mean(2))  # B x patches x C
        scores = means @ means.transpose(1, 2)  # B x patches x patches
        itself = torch.eye(count, dtype=torch.bool, device=patches.device)
        best = scores.masked_fill(itself, -torch.inf).argmax(2)  # B x patches
        return patches[torch.arange(batch, device=patches.device)[:, None], best]


class Layer(nn.Module):
    """Attention of the pixels of a patch to those of another one, and a feed-forward network, both residual."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(_WIDTH)
        self.to_q = nn.Linear(_WIDTH, _QUERY, bias=False)
        self.to_k = nn.Linear(_WIDTH, _QUERY, bias=False)
        self.to_v = nn.Linear(_WIDTH, _WIDTH, bias=False)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(_WIDTH), nn.Linear(_WIDTH, _HIDDEN), nn.GELU(), nn.Linear(_HIDDEN, _WIDTH)
        )

    def forward(self, patches: Tensor, matches: Tensor | None) -> Tensor:
        """Attend to `matches`, which are not normalised, as in the original; without them to the patches themselves.

        B x patches x pixels x C each -> the same.
        """
        normal = self.attention_norm(patches)
        context = normal if matches is None else matches
        attended = F.scaled_dot_product_attention(self.to_q(normal), self.to_k(context), self.to_v(context))
        patches = patches + attended
        out: Tensor = patches + self.feed_forward(patches)
        return out


def _halvings(cuts: Tensor, length: int) -> Tensor:
    """Return a weight for each pixel of a side, halved where a patch overlaps the one before it.

    This averages overlaps, except that a row which three patches share counts 3/4, as in the original.
    """
    weights = torch.ones(length)
    for previous, current in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
        weights[current[0] : previous[-1] + 1] /= 2
    return weights
