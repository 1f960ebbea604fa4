"""HiT-SR: Zhang et al., "HiT-SR: Hierarchical Transformer for Efficient Image Super-Resolution", ECCV 2024."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.parts import ChannelNorm
from promptsr.zoo.peers.residual_groups import ResidualGroups
from promptsr.zoo.peers.window_correlation import Correlation

_WINDOWS = (4, 8, 16, 32, 48, 64)
"""Side of the windows of each block of a group."""


class HiTSRF(ResidualGroups):
    """Upscale images of any size from 1 x 1 on: HiT-SRF, and by other settings HiT-SIR and HiT-SNG.

    Each block pads its features by reflection, here as often as it takes. The original is not defined for very small
    images, which would be reflected more than twice, or more than once in HiT-SIR.
    """

    TITLE = "HiT-SR"
    NAMES: ClassVar[dict[str, str]] = {
        **ResidualGroups.NAMES,
        ".ngram_window_partition.ngram_context.": ".context.",
        ".pos.pos_proj.": ".bias.0.",
        **{f".pos.pos{i}.{j}.": f".bias.{3 * i - 2 + j}." for i in (1, 2, 3) for j in (0, 2)},
        ".mlp.dwconv.depthwise_conv.0.": ".mlp.local.",
    }
    COMPUTED = ("relative_position_index",)
    MIN_TILE = max(_WINDOWS)
    SIZE_MULTIPLE = 2 * max(_WINDOWS)
    BYTES_PER_PIXEL = 14336

    def __init__(
        self,
        scale: int,
        width: int = 60,
        depths: Sequence[int] = (6,) * 4,
        heads: int = 6,
        hidden: int = 120,
        local: bool = True,
        context: bool = False,
    ) -> None:
        """Args: scale and sizes; HiT-SRF has `local` feed-forward networks, HiT-SNG `context`, HiT-SIR neither."""
        super().__init__(scale, width, (Group(width, depth, heads, hidden, local, context) for depth in depths))
        self._letters = "SNG" if context else "SRF" if local else "SIR"

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        block = "groups.0.blocks.0."
        return super().settings(state) | {
            "heads": len(state[f"{block}correlation.bias.9.weight"]),
            "hidden": len(state[f"{block}mlp.fc1.weight"]),
            "local": f"{block}mlp.local.weight" in state,
            "context": f"{block}correlation.context.merge.weight" in state,
        }

    def _get_name(self) -> str:
        return f"HiT{self._letters}"


class Group(nn.Module):
    """RHTB: blocks whose windows grow from one to the next, and a convolution; residual."""

    def __init__(self, width: int, depth: int, heads: int, hidden: int, local: bool, context: bool) -> None:
        super().__init__()
        windows = [_WINDOWS[i] for i in range(depth)]
        self.blocks = nn.Sequential(*(Block(window, width, heads, hidden, local, context) for window in windows))
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        out: Tensor = self.conv(self.blocks(features)) + features
        return out


class Block(nn.Module):
    """Correlation within windows, and a feed-forward network, both residual and normalised afterwards."""

    def __init__(self, window: int, width: int, heads: int, hidden: int, local: bool, context: bool) -> None:
        super().__init__()
        self._multiple = 2 * window if context else window
        self.correlation = Correlation(window, width, heads, context)
        self.mlp = FeedForward(width, hidden, local)
        self.norm1, self.norm2 = ChannelNorm(width), ChannelNorm(width)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        height, width = features.shape[2:]
        x = self.correlation(_reflect_to(features, self._multiple))[..., :height, :width]
        features = features + self.norm1(x)
        out: Tensor = features + self.norm2(self.mlp(features))
        return out


class FeedForward(nn.Module):
    """Two linear layers, with a depth-wise convolution between them if it is local."""

    def __init__(self, width: int, hidden: int, local: bool) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.local = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden) if local else None

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        x = F.gelu(self.fc1(features.movedim(1, -1)))
        if self.local is not None:
            x = x + F.gelu(self.local(x.movedim(-1, 1))).movedim(1, -1)
        out: Tensor = self.fc2(x).movedim(-1, 1)
        return out


def _reflect_to(features: Tensor, multiple: int) -> Tensor:
    """Return B x C x H x W continued by reflection, on the right and at the bottom, until both sides are multiples."""
    for axis in (2, 3):
        side = features.shape[axis]
        if side % multiple:
            places = torch.arange(-(-side // multiple) * multiple, device=features.device) % max(1, 2 * side - 2)
            features = features.index_select(axis, torch.minimum(places, 2 * side - 2 - places))
    return features
