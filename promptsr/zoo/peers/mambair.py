"""MambaIR-light: Guo et al., "MambaIR: A Simple Baseline for Image Restoration with State-Space Model", ECCV 2024."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from promptsr.zoo.peers.parts import ChannelNorm, gate
from promptsr.zoo.peers.residual_groups import ResidualGroups
from promptsr.zoo.peers.selective_scan import selective_scan

_WAYS = 4
"""Orders in which the scan visits the pixels."""


class MambaIR(ResidualGroups):
    """Upscale images of any size from 1 x 1 on. The authors cut those of 200 pixels and more into overlapping parts."""

    TITLE = "MambaIR-light"
    NAMES: ClassVar[dict[str, str]] = {
        **ResidualGroups.NAMES,
        ".self_attention.": ".scan.",
        **{f".conv_blk.cab.5.attention.{i}.": f".channels.{i - 1}." for i in (1, 3)},
        ".conv_blk.cab.": ".local.",
    }
    BYTES_PER_PIXEL = 24576

    def __init__(
        self,
        scale: int,
        width: int = 60,
        depths: Sequence[int] = (6,) * 4,
        inner: int = 72,
        rank: int = 4,
        states: int = 10,
        local: int = 30,
    ) -> None:
        super().__init__(scale, width, (Group(depth, width, inner, rank, states, local) for depth in depths))

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        block = "groups.0.blocks.0."
        return super().settings(state) | {
            "inner": state[f"{block}scan.dt_projs_weight"].shape[1],
            "rank": state[f"{block}scan.dt_projs_weight"].shape[2],
            "states": state[f"{block}scan.A_logs"].shape[1],
            "local": len(state[f"{block}local.0.weight"]),
        }


class Group(nn.Module):
    """RSSG: blocks and a convolution, residual."""

    def __init__(self, depth: int, *sizes: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block(*sizes) for _ in range(depth)))
        self.conv = nn.Conv2d(sizes[0], sizes[0], 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        out: Tensor = self.conv(self.blocks(features)) + features
        return out


class Block(nn.Module):
    """VSSB: a scan over the whole image, then convolutions with channel attention, both residual."""

    def __init__(self, width: int, inner: int, rank: int, states: int, local: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = ChannelNorm(width, eps=1e-6), ChannelNorm(width, eps=1e-6)
        self.skip_scale, self.skip_scale2 = nn.Parameter(torch.ones(width)), nn.Parameter(torch.ones(width))
        self.scan = Scan(width, inner, rank, states)
        self.local = nn.Sequential(
            nn.Conv2d(width, local, 1),
            nn.Conv2d(local, local, 3, padding=1, groups=local),
            nn.GELU(),
            nn.Conv2d(local, width, 1),
            nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=width),
        )
        self.channels = gate(width, width // 30, width)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        features = features * self.skip_scale[:, None, None] + self.scan(self.ln_1(features))
        x = self.local(self.ln_2(features))
        out: Tensor = features * self.skip_scale2[:, None, None] + x * self.channels(x.mean((2, 3), keepdim=True))
        return out


class Scan(nn.Module):
    """SS2D: a selective scan along rows, along columns, and along both backwards; the results are added."""

    def __init__(self, width: int, inner: int, rank: int, states: int) -> None:
        super().__init__()
        self._sizes = (rank, states, states)
        self.in_proj = nn.Linear(width, 2 * inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.x_proj_weight = nn.Parameter(torch.zeros(_WAYS, rank + 2 * states, inner))
        self.dt_projs_weight = nn.Parameter(torch.zeros(_WAYS, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.zeros(_WAYS, inner))
        self.A_logs = nn.Parameter(torch.zeros(_WAYS * inner, states))
        self.Ds = nn.Parameter(torch.ones(_WAYS * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        height, width = features.shape[2:]
        x, gate = self.in_proj(features.movedim(1, -1)).chunk(2, -1)
        x = F.silu(self.conv2d(x.movedim(-1, 1)))
        lines = torch.stack([x.flatten(2), x.mT.flatten(2)], 1)
        lines = torch.cat([lines, lines.flip(3)], 1).mT  # B x ways x HW x inner
        projected = lines @ self.x_proj_weight.mT
        steps, writes, reads = projected.split(self._sizes, 3)
        steps = F.softplus(steps @ self.dt_projs_weight.mT + self.dt_projs_bias[:, None])
        rates = -self.A_logs.exp().unflatten(0, (_WAYS, -1))  # ways x inner x states
        # Its steps would keep states of the whole image for the gradients: they are computed once more instead.
        y = checkpoint(selective_scan, lines, steps, rates, writes, reads, use_reentrant=False)
        y = y + lines * self.Ds.view(_WAYS, 1, -1)
        y = (y[:, :2] + y[:, 2:].flip(2)).mT  # B x 2 x inner x HW
        y = y[:, 0].unflatten(2, (height, width)) + y[:, 1].unflatten(2, (width, height)).mT
        out: Tensor = self.out_proj(self.out_norm(y.movedim(1, -1)) * F.silu(gate))
        return out.movedim(-1, 1)
