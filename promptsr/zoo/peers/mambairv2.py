"""MambaIRv2-light: Guo et al., "MambaIRv2: Attentive State Space Restoration", CVPR 2025."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.padding import mirror_to
from promptsr.zoo.peers.category_scan import CategoryScan
from promptsr.zoo.peers.parts import from_windows, shift_mask, to_windows
from promptsr.zoo.peers.residual_groups import ResidualGroups
from promptsr.zoo.peers.swinirng import Attention

_WINDOW = 16


class MambaIRv2(ResidualGroups):
    """Upscale images of any size from 1 x 1 on, padded to multiples of the window. The authors cut those of 200 pixels
    and more into overlapping parts.

    The original draws the category of each pixel at random in each pass, by probabilities that it predicts, and leaves
    open in which order it scans the pixels of one category. Here the seed is the same each time, for each image of a
    batch, and that order is from left to right and from top to bottom: one image has one result.
    """

    TITLE = "MambaIRv2-light"
    NAMES: ClassVar[dict[str, str]] = {
        ".residual_group.layers.": ".blocks.",
        **ResidualGroups.NAMES,
        ".wqkv.": ".attention.qkv.",
        ".win_mhsa.": ".attention.",
        ".convffn": ".feed",
        ".sg.": ".",
        ".embeddingA.weight": ".scan.prompts",
        ".assm.": ".scan.",
        ".selectiveScan.": ".",
        ".embeddingB.weight": ".mixtures",
        ".in_proj.0.": ".in_proj.",
        ".CPE.0.": ".gate.",
    }
    COMPUTED = ("relative_position_index_SA",)
    MIN_TILE = SIZE_MULTIPLE = _WINDOW
    BYTES_PER_PIXEL = 20480

    def __init__(
        self, scale: int, width: int = 48, depths: Sequence[int] = (5,) * 4, heads: int = 4, **sizes: int
    ) -> None:
        super().__init__(scale, width, (Group(width, depth, heads, **sizes) for depth in depths))

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        block = "groups.0.blocks.0."
        return super().settings(state) | {
            "heads": state[f"{block}attention.relative_position_bias_table"].shape[1],
            "inner": len(state[f"{block}scan.in_proj.weight"]),
            "rank": state[f"{block}scan.dt_projs_weight"].shape[2],
            "states": state[f"{block}scan.prompts"].shape[1],
            "categories": len(state[f"{block}scan.mixtures"]),
            "prompts": len(state[f"{block}scan.prompts"]),
        }

    def _pad(self, image: Tensor) -> Tensor:
        return mirror_to(image, _WINDOW)

    def _deepen(self, features: Tensor) -> Tensor:
        x, random = features.movedim(1, -1), torch.Generator().manual_seed(0)
        for group in self.groups:
            x = group(x, random)
        return x.movedim(-1, 1)


class Group(nn.Module):
    """ASSG: blocks, every other one with shifted windows, and a convolution; residual."""

    def __init__(self, width: int, depth: int, heads: int, **sizes: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads, _WINDOW // 2 if i % 2 else 0, **sizes) for i in range(depth))
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor, random: torch.Generator) -> Tensor:
        """B x H x W x C, and the source of the noise -> B x H x W x C."""
        x = features
        for block in self.blocks:
            x = block(x, random)
        out: Tensor = self.conv(x.movedim(-1, 1)).movedim(1, -1) + features
        return out


class Block(nn.Module):
    """Attention within windows, then a scan of the image, each with a feed-forward network; residual, twice over."""

    def __init__(self, width: int, heads: int, shift: int, inner: int = 48, **scan: int) -> None:
        super().__init__()
        self._shift = shift
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(width) for _ in range(4))
        self.scale1, self.scale2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.attention = Attention(width, heads, _WINDOW)
        self.scan = CategoryScan(width, inner, **scan)
        self.feed1, self.feed2 = FeedForward(width, inner // 2), FeedForward(width, inner // 2)

    def forward(self, features: Tensor, random: torch.Generator) -> Tensor:
        """B x H x W x C, and the source of the noise -> B x H x W x C."""
        x = features + self._attend(self.norm1(features))
        features = x + self.feed1(self.norm2(x)) + features * self.scale1
        x = features + self.scan(self.norm3(features), random)
        out: Tensor = x + self.feed2(self.norm4(x)) + features * self.scale2
        return out

    def _attend(self, features: Tensor) -> Tensor:
        height, width = features.shape[1:3]
        x = to_windows(features.movedim(-1, 1).roll((-self._shift,) * 2, (2, 3)), _WINDOW)
        x = self.attention(x, shift_mask(height, width, _WINDOW, self._shift).to(x) if self._shift else None)
        return from_windows(x, _WINDOW, height, width).roll((self._shift,) * 2, (2, 3)).movedim(1, -1)


class FeedForward(nn.Module):
    """A feed-forward network whose one half is the gate of the other, by a convolution."""

    def __init__(self, width: int, half: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 2 * half), nn.Linear(half, width)
        self.norm = nn.LayerNorm(half)
        self.conv = nn.Conv2d(half, half, 5, padding=2, groups=half)

    def forward(self, features: Tensor) -> Tensor:
        """B x H x W x C -> the same."""
        x, gate = F.gelu(self.fc1(features)).chunk(2, -1)
        gate = self.conv(self.norm(gate).movedim(-1, 1)).movedim(1, -1)
        out: Tensor = self.fc2(x * gate)
        return out
