"""CAMixerSR: Wang et al., "CAMixerSR: Only Details Need More Attention", CVPR 2024."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.padding import pad_to
from promptsr.zoo.peers.camixer_routing import Predictor, draw_number, warp
from promptsr.zoo.peers.parts import ChannelNorm, count, from_windows, to_windows
from promptsr.zoo.peers.peer import Peer

_WINDOW = 16


class CAMixerSR(Peer):
    """Upscale images of any size from 1 x 1 on, padded to multiples of the window, each image of a batch on its own.

    The original draws at random, in each pass, how many windows get attention. Here the seed is the same each time: one
    image has one result.
    """

    TITLE = "CAMixerSR"
    NAMES: ClassVar[dict[str, str]] = {
        "head.": "encoder.",
        "body_tail.": "convolution.",
        "tail.": "decoder.",
        "global_predictor.": "condition.",
        "body.": "blocks.",
        ".conv_sptial.": ".spatial.",
    }
    MIN_TILE = SIZE_MULTIPLE = _WINDOW
    BYTES_PER_PIXEL = 8192

    def __init__(self, scale: int, width: int = 60, depths: Sequence[int] = (4, 4, 6, 6)) -> None:
        super().__init__()
        self.scale = scale
        self.encoder = nn.Conv2d(3, width, 3, padding=1)
        self.condition = nn.Sequential(
            nn.Conv2d(width, 8, 1), nn.LeakyReLU(0.1), nn.Conv2d(8, 2, 3, padding=1), nn.LeakyReLU(0.1)
        )
        self.blocks = nn.ModuleList(Group(width, depth) for depth in depths)
        self.convolution = nn.Conv2d(width, width, 3, padding=1)
        self.decoder = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Read the sizes from names and shapes."""
        depths = [count(state, f"blocks.{i}.blocks.") for i in range(count(state, "blocks."))]
        return {"width": len(state["encoder.weight"]), "depths": depths}

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        return torch.cat([self._upscale(each[None]) for each in image])

    def _upscale(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        shallow = x = self.encoder(pad_to(image, _WINDOW))
        condition, random = self.condition(x), torch.Generator().manual_seed(0)
        for group in self.blocks:
            x = group(x, condition, random)
        out: Tensor = self.decoder(self.convolution(x) + shallow)
        return out[..., : self.scale * height, : self.scale * width]


class Group(nn.Module):
    """Blocks and a convolution, residual."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.convolution = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, condition: Tensor, random: torch.Generator) -> Tensor:
        """1 x C x H x W, and 1 x 2 x H x W of the whole image -> 1 x C x H x W."""
        x = features
        for block in self.blocks:
            x = block(x, condition, random)
        out: Tensor = self.convolution(x) + features
        return out


class Block(nn.Module):
    """The mixer, and a gated feed-forward network, both residual and normalised afterwards."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ChannelNorm(width, eps=1e-6), ChannelNorm(width, eps=1e-6)
        self.mixer = Mixer(width)
        self.ffn = FeedForward(width)

    def forward(self, features: Tensor, condition: Tensor, random: torch.Generator) -> Tensor:
        """1 x C x H x W, and 1 x 2 x H x W of the whole image -> 1 x C x H x W."""
        x = self.norm1(features + self.mixer(features, condition, random))
        out: Tensor = self.norm2(x + self.ffn(x))
        return out


class Mixer(nn.Module):
    """CAMixer: attention in the windows that a predictor chooses, weights of pixels in the others; convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ratio = 0.5
        """Share of windows to which the original was trained; 1: all windows get attention."""
        self.project_v, self.project_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.project_q, self.project_k = nn.Linear(width, width), nn.Linear(width, width)
        self.spatial = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.Conv2d(width, width, 3, padding=2, dilation=2, groups=width),
        )
        self.route = Predictor(width, _WINDOW)

    def forward(self, features: Tensor, condition: Tensor, random: torch.Generator) -> Tensor:
        """1 x C x H x W, and 1 x 2 x H x W of the whole image -> 1 x C x H x W."""
        height, width = features.shape[2:]
        values = self.project_v(features)
        places = torch.linspace(-1, 1, _WINDOW, device=features.device, dtype=features.dtype)
        grid = torch.stack(torch.meshgrid(places, places, indexing="ij"))[None]
        grid = grid.tile(1, 1, height // _WINDOW, width // _WINDOW)
        scores, offsets, channels, pixels = self.route(torch.cat([values, condition, grid], 1))
        order = scores[0, :, 0].argsort(descending=True)
        chosen = order[: len(order) if self.ratio == 1 else draw_number(scores, self.ratio, random)]
        keys = to_windows(features + warp(features, offsets), _WINDOW)[0, chosen]  # chosen x N x C
        queries = to_windows(features, _WINDOW)[0, chosen]
        attention = (self.project_q(queries) @ self.project_k(keys).mT).softmax(2)
        mixed = attention @ to_windows(values, _WINDOW)[0, chosen]
        windows = to_windows(values * pixels, _WINDOW).index_put((torch.zeros_like(chosen), chosen), mixed)
        x = from_windows(windows, _WINDOW, height, width)
        out: Tensor = self.project_out(F.gelu(self.spatial(x)) * channels + x)
        return out


class FeedForward(nn.Module):
    """A feed-forward network whose one half gates the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.project_in = nn.Conv2d(width, 2 * width, 1, bias=False)
        self.dwconv = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=False)
        self.project_out = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        gate, x = self.dwconv(self.project_in(features)).chunk(2, 1)
        out: Tensor = self.project_out(F.gelu(gate) * x)
        return out
