"""Superpixels of SPIN, which pixels belong to by degrees, and attention between and within them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers.parts import ChannelNorm

_ROUNDS = 3
_LEAST = 1e-16  # added to divisors


@torch.no_grad()
def superpixels(features: Tensor, size: int) -> Tensor:
    """Return how much each pixel belongs to each superpixel: B x superpixels x HW; only nine of them get any of it.

    Centres start on a grid, and move twice to the weighted mean of their pixels.
    """
    batch, channels, height, width = features.shape
    rows, columns = max(1, height // size), max(1, width // size)
    centres = F.adaptive_avg_pool2d(features, (rows, columns)).flatten(2)  # B x C x superpixels
    pixels = features.flatten(2)
    own_row = (torch.arange(height) * rows // height).to(features.device)
    own_column = (torch.arange(width) * columns // width).to(features.device)
    near = torch.arange(-1, 2, device=features.device)
    row = (own_row[:, None] + near)[:, None, :, None].expand(-1, width, -1, 3).reshape(-1, 9)  # HW x 9
    column = (own_column[:, None] + near)[None, :, None, :].expand(height, -1, 3, -1).reshape(-1, 9)
    inside = ((row >= 0) & (row < rows) & (column >= 0) & (column < columns)).T  # 9 x HW
    places = (row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)).T.expand(batch, -1, -1)
    affinity = features.new_zeros(0)
    for last in range(_ROUNDS - 1, -1, -1):
        distances = features.new_empty(places.shape)  # B x 9 x HW
        for i in range(9):
            nearby = centres.gather(2, places[:, i, None].expand(-1, channels, -1))
            distances[:, i] = (pixels - nearby).square().sum(1)
        shares = (-distances.masked_fill(~inside, 1e16)).softmax(1) * inside
        affinity = features.new_zeros(batch, rows * columns, height * width).scatter_add_(1, places, shares)
        if last:
            centres = (affinity @ pixels.mT / (affinity.sum(2, keepdim=True) + _LEAST)).mT
    return affinity


class Projections(nn.Module):
    """Queries, keys and values of normalised pixels."""

    def __init__(self, width: int, query: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, eps=1e-6)
        self.q, self.k = (nn.Conv2d(width, query, 1, bias=False) for _ in range(2))
        self.v = nn.Conv2d(width, width, 1, bias=False)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """B x C x H x W, normalised -> B x query x HW, the same, B x C x HW."""
        return self.q(x).flatten(2), self.k(x).flatten(2), self.v(x).flatten(2)


class Between(Projections):
    """SPIA: superpixels attend to all pixels, then pixels attend to all superpixels."""

    def __init__(self, width: int, query: int) -> None:
        super().__init__(width, query)
        self.sp = nn.Linear(width, query, bias=False)

    def forward(self, features: Tensor, affinity: Tensor) -> Tensor:
        """B x C x H x W, B x superpixels x HW -> B x C x H x W."""
        x = self.norm(features)
        q, k, v = self.project(x)
        means = affinity @ x.flatten(2).mT / (affinity.sum(2, keepdim=True) + _LEAST)
        tokens = self.sp(means) * q.shape[1] ** -0.5  # B x superpixels x query
        gathered = (tokens @ k).softmax(2) @ v.mT  # B x superpixels x C
        return (gathered.mT @ (tokens @ q).softmax(1)).view(features.shape)


class Within(Projections):
    """ISPA: the pixels that belong most to a superpixel attend to each other; means of what they get."""

    def __init__(self, width: int, query: int, size: int) -> None:
        super().__init__(width, query)
        self._most = size**2

    def forward(self, features: Tensor, affinity: Tensor) -> Tensor:
        """B x C x H x W, B x superpixels x HW -> B x C x H x W."""
        q, k, v = projected = self.project(self.norm(features))
        chosen = affinity.topk(min(self._most, affinity.shape[2]), 2).indices  # B x superpixels x pixels
        flat = chosen.flatten(1)[:, None]  # B x 1 x all
        q, k, given = (
            each.gather(2, flat.expand(-1, each.shape[1], -1)).unflatten(2, chosen.shape[1:]).permute(0, 2, 3, 1)
            for each in projected
        )
        got = F.scaled_dot_product_attention(q, k, given).permute(0, 3, 1, 2).flatten(2)  # B x C x all
        index = flat.expand(-1, v.shape[1], -1)
        times = torch.ones_like(v).scatter_add(2, index, torch.ones_like(got))
        return (v.scatter_add(2, index, got) / times).view(features.shape)
