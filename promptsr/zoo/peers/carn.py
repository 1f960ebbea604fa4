"""CARN and CARN-M: Ahn et al., "Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network",
ECCV 2018. The authors keep x2, x3 and x4 in one file.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from promptsr.zoo.peers.parts import FACTORS, FixedConvolution, count
from promptsr.zoo.peers.peer import Peer

_UNITS = 3


class CARN(Peer):
    """Upscale images of any size from 1 x 1 on."""

    TITLE = "CARN"
    NAMES: ClassVar[dict[str, str]] = {
        **{f"b{i + 1}.b{j + 1}.body.": f"blocks.{i}.parts.{j}." for i in range(_UNITS) for j in range(_UNITS)},
        **{f"b{i + 1}.c{j + 1}.body.0.": f"blocks.{i}.fusions.{j}." for i in range(_UNITS) for j in range(_UNITS)},
        **{f"c{j + 1}.body.0.": f"cascade.fusions.{j}." for j in range(_UNITS)},
        "mean.shifter.": "mean.",
        "upsample.up.body.": "enlarging.single.",
        **{f"upsample.up{scale}.body.": f"enlarging.{scale}." for scale in FACTORS},
        "entry.": "encoder.",
        "exit.": "decoder.",
    }
    BYTES_PER_PIXEL = 14336

    def __init__(
        self, scale: int, tails: Sequence[str] = ("single",), width: int = 64, groups: int = 1, shared: bool = False
    ) -> None:
        """Args: scale, one of the `tails` ("2", "3", "4"), or that of the "single" one; `shared` units are CARN-M's."""
        super().__init__()
        self.scale = scale
        self.scales = tuple(each for each in FACTORS if str(each) in tails)
        self._grouped = groups > 1
        self.sub_mean = FixedConvolution()
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width, groups, shared) for _ in range(_UNITS))
        self.cascade = Cascade(width)
        self.enlarging = nn.ModuleDict(
            {tail: _enlarging(width, scale if tail == "single" else int(tail), groups) for tail in tails}
        )
        self.decoder = nn.Conv2d(width, 3, 3, padding=1)
        self.add_mean = FixedConvolution()

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read width, groups and tails from the shapes."""
        width = len(state["encoder.weight"])
        return {
            "tails": sorted({name.split(".")[1] for name in state if name.startswith("enlarging.")}),
            "width": width,
            "groups": width // state["blocks.0.parts.0.0.weight"].shape[1],
            "shared": count(state, "blocks.0.parts.") == 1,
        }

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        x = self.cascade(self.encoder(self.sub_mean(image)), list(self.blocks))
        tail = str(self.scale) if self.scales else "single"
        out: Tensor = self.add_mean(self.decoder(self.enlarging[tail](x)))
        return out

    def _get_name(self) -> str:
        return "CARN-M" if self._grouped else "CARN"

    def extra_repr(self) -> str:
        """Return the scale, by which networks of the same weights differ."""
        return f"scale={self.scale}"


class Cascade(nn.Module):
    """Run steps, each on all results so far: these are concatenated and fused by a 1 x 1 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fusions = nn.ModuleList(nn.Conv2d((i + 2) * width, width, 1) for i in range(_UNITS))

    def forward(self, features: Tensor, steps: Sequence[nn.Module]) -> Tensor:
        """B x C x H x W -> the same."""
        x = gathered = features
        for step, fusion in zip(steps, self.fusions, strict=True):
            gathered = torch.cat([gathered, step(x)], 1)
            x = torch.relu(fusion(gathered))
        return x


class Block(Cascade):
    """A cascade of residual units; CARN-M has one unit, which is used three times."""

    def __init__(self, width: int, groups: int, shared: bool) -> None:
        super().__init__(width)
        self.parts = nn.ModuleList(Unit(width, groups) for _ in range(1 if shared else _UNITS))

    def forward(self, features: Tensor, steps: Sequence[nn.Module] = ()) -> Tensor:
        """B x C x H x W -> the same."""
        return super().forward(features, [self.parts[i % len(self.parts)] for i in range(_UNITS)])


class Unit(nn.Sequential):
    """Two 3 x 3 convolutions, residual; with groups, a 1 x 1 convolution mixes these at the end."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__(
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, groups=groups),
            *([nn.ReLU(), nn.Conv2d(width, width, 1)] if groups > 1 else []),
        )

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        return torch.relu(super().forward(features) + features)


def _enlarging(width: int, scale: int, groups: int) -> nn.Sequential:
    layers = nn.Sequential()
    for factor in FACTORS[scale]:
        layers.extend([nn.Conv2d(width, width * factor**2, 3, padding=1, groups=groups), nn.ReLU()])
        layers.append(nn.PixelShuffle(factor))
    return layers
