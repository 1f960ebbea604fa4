"""Predictor of CAMixerSR for its mixers: which windows get attention, where keys come from, and weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.parts import ChannelNorm, to_windows

_FARTHEST, _SLOPE = 8.0, 0.1
"""Largest offset in pixels; slope of the activations."""


class Predictor(nn.Module):
    """Predict from values and conditions: scores of the windows, offsets, weights of the channels and of the pixels."""

    def __init__(self, width: int, window: int) -> None:
        super().__init__()
        self._window = window
        inputs = width + 4
        inner, offset = inputs // 4, inputs // 8
        self.in_conv = nn.Sequential(nn.Conv2d(inputs, inner, 1), ChannelNorm(inner, eps=1e-6), nn.LeakyReLU(_SLOPE))
        self.out_offsets = nn.Sequential(nn.Conv2d(inner, offset, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(offset, 2, 1))
        self.out_mask = nn.Sequential(
            nn.Linear(self._window**2, self._window), nn.LeakyReLU(_SLOPE), nn.Linear(self._window, 2), nn.Softmax(-1)
        )
        self.out_CA = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, width, 1), nn.Sigmoid())
        self.out_SA = nn.Sequential(nn.Conv2d(inner, 1, 3, padding=1), nn.Sigmoid())

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """1 x (C + 4) x H x W -> 1 x windows x 2, 1 x 2 x H x W in pixels, 1 x C x 1 x 1, 1 x 1 x H x W."""
        x = self.in_conv(inputs)
        scores = self.out_mask(to_windows(x.mean(1, keepdim=True), self._window).flatten(2))
        return scores, _FARTHEST * self.out_offsets(x).tanh(), self.out_CA(x), self.out_SA(x)


def draw_number(scores: Tensor, ratio: float, random: torch.Generator) -> int:
    """Draw how many windows get attention, with the original's rounding."""
    noise = -torch.empty(scores.shape, dtype=scores.dtype).exponential_(generator=random).log()
    soft = (scores.detach().cpu() + noise).softmax(2)
    hard = F.one_hot(soft.argmax(2), 2) - soft + soft
    count = scores.shape[1]
    return min(int(count * hard[..., 0].mean() * 2 * ratio), count)


def warp(features: Tensor, offsets: Tensor) -> Tensor:
    """Return for each pixel what lies an offset away (x, y in pixels), bilinear, at most at the border."""
    height, width = features.shape[2:]
    y, x = torch.meshgrid(*(torch.arange(side).to(features) for side in (height, width)), indexing="ij")
    sides = features.new_tensor([width, height]) - 1
    places = 2 * (torch.stack([x, y], 2) + offsets.movedim(1, -1)) / sides - 1
    return F.grid_sample(features, places, padding_mode="border", align_corners=True)
