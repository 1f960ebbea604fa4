"""Correlation of HiT-SR within windows: of pixels with averages of others, of channels with channels, and context."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from promptsr.zoo.peers import swinirng
from promptsr.zoo.peers.parts import from_windows, to_windows

_CELLS = 8
"""Cells that a window has along a side, if it has as many pixels."""
_SQUEEZE, _SQUEEZE_BIAS = 5, 16
"""How many times fewer channels there are between convolutions, and for biases."""


class Correlation(nn.Module):
    """SCC: half of its result compares pixels with the cells of their window, the other half channels with channels.

    A cell is one vector for neighbouring pixels, so that the effort grows like the image, not like the window. Nothing
    is normalised to a sum of 1.
    """

    def __init__(self, window: int, width: int, heads: int, context: bool) -> None:
        super().__init__()
        self._window, self._cells = window, min(window, _CELLS)
        self._cell = window // self._cells
        self.qv = Features(width)
        self.context = Context(window, width, heads) if context else None
        self.spatial_linear = nn.Linear(self._cell**2, 1)
        inner = width // _SQUEEZE_BIAS
        hidden = (each for _ in range(2) for each in (nn.LayerNorm(inner), nn.ReLU(), nn.Linear(inner, inner)))
        self.bias = nn.Sequential(nn.Linear(2, inner), *hidden, nn.LayerNorm(inner), nn.ReLU(), nn.Linear(inner, heads))
        self.proj = nn.Linear(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same; both sides are multiples of the window, and of two windows if there is context."""
        x = self.qv(features)
        if self.context is not None:
            x = x + F.interpolate(self.context(x), scale_factor=self._window, mode="nearest")
        queries, values = to_windows(x, self._window).chunk(2, 3)  # B x windows x N x C/2
        channels = values @ (values.mT @ queries) / self._window**2
        x = self.proj(torch.cat([self._spatial(queries, values), channels], 3))
        return from_windows(x, self._window, *features.shape[2:])

    def _spatial(self, queries: Tensor, values: Tensor) -> Tensor:
        """B x windows x N x C/2, twice -> the same once."""
        bias = self._biases(values)  # heads x N x cells
        pixels = values.unflatten(2, (self._cells, self._cell) * 2)  # B x windows x rows x cell x columns x cell x C/2
        pixels = pixels.permute(0, 1, 2, 4, 6, 3, 5).flatten(5)  # B x windows x rows x columns x C/2 x cell^2
        cells = self.spatial_linear(pixels).flatten(4).flatten(2, 3)  # B x windows x cells x C/2
        q, v = (x.unflatten(3, (len(bias), -1)).transpose(2, 3) for x in (queries, cells))  # heads x N or cells x d
        scores = q / q.shape[4] @ v.mT + bias  # B x windows x heads x N x cells
        return (scores @ v).transpose(2, 3).flatten(3)

    def _biases(self, like: Tensor) -> Tensor:
        """Return heads x N x cells: the mean of a cell's biases, each of which depends on the relative place."""
        places = torch.arange(1 - self._window, self._window).to(like)
        table = self.bias(torch.cartesian_prod(places, places)).T  # heads x all pairs
        table = table.unflatten(1, (len(places), -1))  # heads x (2 window - 1) x the same
        means = F.avg_pool2d(table, self._cell, stride=1)  # heads x (2 window - cell) x the same
        pixels, cells = (torch.arange(length, device=like.device) for length in (self._window, self._cells))
        index = pixels[:, None] + self._window - self._cell * (cells + 1)  # N's side x cells' side
        return means[:, index[:, None, :, None], index[None, :, None]].flatten(3).flatten(1, 2)


class Features(nn.Module):
    """DFE: convolutions times a linear map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = width // _SQUEEZE
        self.conv = nn.Sequential(
            nn.Conv2d(width, inner, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(inner, width, 1),
        )
        self.linear = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        out: Tensor = self.conv(features) * self.linear(features)
        return out


class Context(swinirng.Context):
    """The context of SwinIR-NG, but all pairs of channels share the weights that make a window a vector."""

    def __init__(self, window: int, width: int, heads: int) -> None:
        super().__init__(width, heads)
        self.unigram_embed = Pairs(2, 1, window, stride=window)


class Pairs(nn.Conv2d):
    """A convolution of two channels into one, applied to each pair of channels."""

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> B x C/2 x smaller sides."""
        pairs = super().forward(features.unflatten(1, (-1, 2)).flatten(0, 1))  # B C/2 x 1 x ..
        return pairs.view(len(features), -1, *pairs.shape[2:])
