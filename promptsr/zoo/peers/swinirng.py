"""SwinIR-NG: Choi et al., "N-Gram in Swin Transformers for Efficient Lightweight Image Super-Resolution", CVPR 2023."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.padding import mirror_to
from promptsr.zoo.peers.parts import from_windows, relative_places, shift_mask, to_windows
from promptsr.zoo.peers.residual_groups import ResidualGroups

_WINDOW, _GRAM = 8, 2


class SwinIRNG(ResidualGroups):
    """Upscale images of any size from 1 x 1 on, padded to multiples of the window, and to two windows at least."""

    TITLE = "SwinIR-NG"
    NAMES: ClassVar[dict[str, str]] = {
        **ResidualGroups.NAMES,
        ".ngram_window_partition.ngram_context.": ".context.",
        ".mlp.fc1.": ".mlp.0.",
        ".mlp.fc2.": ".mlp.2.",
    }
    COMPUTED = ("relative_position_index", "attn_mask")
    MIN_TILE = SIZE_MULTIPLE = _WINDOW
    BYTES_PER_PIXEL = 10240

    def __init__(
        self, scale: int, width: int = 60, depths: Sequence[int] = (6,) * 4, heads: int = 6, hidden: int = 120
    ) -> None:
        super().__init__(scale, width, (Group(width, depth, heads, hidden) for depth in depths))

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        return super().settings(state) | {
            "heads": state["groups.0.blocks.0.attn.relative_position_bias_table"].shape[1],
            "hidden": len(state["groups.0.blocks.0.mlp.0.weight"]),
        }

    def _pad(self, image: Tensor) -> Tensor:
        return mirror_to(image, _WINDOW, 2 * _WINDOW)

    def _deepen(self, features: Tensor) -> Tensor:
        out: Tensor = self.groups(features.movedim(1, -1))
        return out.movedim(-1, 1)


class Group(nn.Module):
    """RSTB: blocks, every other one with shifted windows, and a convolution; residual."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            *(Block(width, heads, hidden, shift=_WINDOW // 2 if i % 2 else 0) for i in range(depth))
        )
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B x H x W x C -> the same."""
        out: Tensor = self.conv(self.blocks(features).movedim(-1, 1)).movedim(1, -1) + features
        return out


class Block(nn.Module):
    """Attention within windows that know of their neighbours, and a feed-forward network, both residual."""

    def __init__(self, width: int, heads: int, hidden: int, shift: int) -> None:
        super().__init__()
        self._shift = shift
        self.norm1 = nn.LayerNorm(width)
        self.context = Context(width, heads)
        self.attn = Attention(width, heads, _WINDOW)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, features: Tensor) -> Tensor:
        """B x H x W x C -> the same."""
        height, width = features.shape[1:3]
        x = self.norm1(features).movedim(-1, 1)
        x = x + F.interpolate(self.context(x), scale_factor=_WINDOW, mode="nearest")
        x = to_windows(x.roll((-self._shift,) * 2, (2, 3)), _WINDOW)
        x = self.attn(x, shift_mask(height, width, _WINDOW, self._shift).to(x) if self._shift else None)
        x = from_windows(x, _WINDOW, height, width).roll((self._shift,) * 2, (2, 3))
        features = features + x.movedim(1, -1)
        out: Tensor = features + self.mlp(self.norm2(features))
        return out


class Context(nn.Module):
    """N-gram context of windows: attention to neighbours below and to the right, and to those above and to the left.

    A window is a single vector of half as many channels here.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.unigram_embed = nn.Conv2d(width, width // 2, _WINDOW, stride=_WINDOW, groups=width // 2)
        self.ngram_attn = Attention(width // 2, heads, _GRAM)
        self.merge = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> B x C x H/8 x W/8."""
        windows = self.unigram_embed(features)
        batch, channels, rows, columns = windows.shape
        contexts = []
        for sides in ((0, 1, 0, 1), (1, 0, 1, 0)):  # right and bottom, left and top
            padded = F.pad(windows, sides, mode="reflect")
            grams = F.unfold(padded, _GRAM).view(batch, channels, _GRAM**2, rows * columns).permute(0, 3, 2, 1)
            contexts.append(self.ngram_attn(grams).mean(2).transpose(1, 2).reshape(windows.shape))
        out: Tensor = self.merge(torch.cat(contexts, 1))
        return out


class Attention(nn.Module):
    """Attention within windows, with a learned bias for each relative place."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        self.register_buffer("_places", relative_places(window), persistent=False)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, windows: Tensor, mask: Tensor | None = None) -> Tensor:
        """B x windows x N x C, and windows x 1 x N x N to be added to the scores -> B x windows x N x C."""
        bias = self.relative_position_bias_table[self.get_buffer("_places")].permute(2, 0, 1)  # heads x N x N
        q, k, v = self.qkv(windows).unflatten(3, (3, len(bias), -1)).permute(3, 0, 1, 4, 2, 5)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias if mask is None else bias + mask)
        out: Tensor = self.proj(x.transpose(2, 3).flatten(3))
        return out
