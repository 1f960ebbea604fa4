"""ELAN: Zhang et al., "Efficient Long-Range Attention Network for Image Super-Resolution", ECCV 2022."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.padding import pad_to
from promptsr.zoo.peers.parts import FixedConvolution, count, from_windows, to_windows
from promptsr.zoo.peers.peer import Peer

_WINDOWS = (4, 8, 16)


class ELAN(Peer):
    """Upscale images of any size from 1 x 1 on, padded to multiples of the largest window."""

    TITLE = "ELAN"
    NAMES: ClassVar[dict[str, str]] = {
        "head.0.": "encoder.",
        "tail.": "decoder.",
        "body.": "blocks.",
        "modules_lfe.lfe_": "local.",
        "modules_gmsa.gmsa_": "attention.",
        ".project_inp.": ".entry.",
        ".project_out.": ".exit.",
        **{f".conv{i}.shift_conv.conv1x1.": f".{2 * i}.mixing." for i in range(2)},
        **{f".conv{i}.shift_conv.weight": f".{2 * i}.shift" for i in range(2)},
        # Those of Fried-Rice-Lab's training:
        "head.": "encoder.",
        "modules_lfe.": "local.",
        "modules_gmsa.": "attention.",
        **{f".lfe.{i}.mask": f".{i}.shift" for i in (0, 2)},
        **{f".lfe.{i}.": f".{i}.mixing." for i in (0, 2)},
    }
    MIN_TILE = SIZE_MULTIPLE = max(_WINDOWS)
    BYTES_PER_PIXEL = 7168

    def __init__(self, scale: int, width: int = 60, blocks: int = 12, layers: int = 2, expansion: int = 2) -> None:
        super().__init__()
        self.scale = scale
        self.sub_mean = FixedConvolution()
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width, layers, expansion, shifted=i % 2 == 1) for i in range(blocks)))
        self.decoder = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))
        self.add_mean = FixedConvolution()

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        width = len(state["encoder.weight"])
        return {
            "width": width,
            "blocks": count(state, "blocks."),
            "layers": count(state, "blocks.0.local."),
            "expansion": len(state["blocks.0.local.0.0.mixing.weight"]) // width,
        }

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        height, width = image.shape[2:]
        shallow = self.encoder(self.sub_mean(255 * pad_to(image, max(_WINDOWS))))
        out: Tensor = self.add_mean(self.decoder(self.blocks(shallow) + shallow)) / 255
        return out[..., : self.scale * height, : self.scale * width]


class Block(nn.Module):
    """ELAB: in turns local features and attention within windows; all layers share the attention of the first."""

    def __init__(self, width: int, layers: int, expansion: int, shifted: bool) -> None:
        super().__init__()
        self.local = nn.ModuleList(
            nn.Sequential(Shift(width, expansion * width), nn.ReLU(), Shift(expansion * width, width))
            for _ in range(layers)
        )
        self.attention = nn.ModuleList(Attention(width, shifted, computes=i == 0) for i in range(layers))

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same; H and W are multiples of all windows."""
        x, scores = features, list[Tensor]()
        for local, attention in zip(self.local, self.attention, strict=True):
            x = local(x) + x
            x = attention(x, scores) + x
        return x


class Shift(nn.Module):
    """Move four fifths of the channels by a pixel, each in another direction, and mix the channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("shift", torch.zeros(inputs, 1, 3, 3))
        self.mixing = nn.Conv2d(inputs, outputs, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> B x outputs x H x W."""
        out: Tensor = self.mixing(F.conv2d(features, self.get_buffer("shift"), padding=1, groups=features.shape[1]))
        return out


class Attention(nn.Module):
    """GMSA: attention within windows of three sizes, for a third of the channels each; queries are the keys."""

    def __init__(self, width: int, shifted: bool, computes: bool) -> None:
        super().__init__()
        self._shifted, self._computes = shifted, computes
        inner = 2 * width if computes else width
        self.entry = nn.Sequential(nn.Conv2d(width, inner, 1), nn.BatchNorm2d(inner))
        self.exit = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, scores: list[Tensor]) -> Tensor:
        """B x C x H x W -> the same; fill the `scores` of each window size, or use those of an earlier layer."""
        results = []
        for branch, (size, x) in enumerate(zip(_WINDOWS, self.entry(features).chunk(3, 1), strict=True)):
            shift = size // 2 if self._shifted else 0
            x = to_windows(x.roll((-shift, -shift), (2, 3)), size)  # B x windows x pixels x channels
            if self._computes:
                queries, x = x.chunk(2, 3)
                scores.append((queries @ queries.transpose(2, 3)).softmax(3))
            x = from_windows(scores[branch] @ x, size, *features.shape[2:])
            results.append(x.roll((shift, shift), (2, 3)))
        out: Tensor = self.exit(torch.cat(results, 1))
        return out
