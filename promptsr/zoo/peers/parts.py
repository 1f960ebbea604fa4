"""Parts that several of these networks share."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (0.4488, 0.4371, 0.4040)
"""Mean colour of DIV2K: red, green, blue in [0, 1]."""
FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}
"""Scale -> the factors by which features are enlarged one after the other."""


class FixedConvolution(nn.Module):
    """A 1 x 1 convolution of the colours that is not trained: its tensors are no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[:, :, None, None])
        self.register_buffer("bias", torch.zeros(3))

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W -> the same."""
        return F.conv2d(image, self.get_buffer("weight"), self.get_buffer("bias"))


class ResidualBlock(nn.Sequential):
    """Two 3 x 3 convolutions, residual."""

    def __init__(self, width: int, weight: float = 1.0) -> None:
        super().__init__(nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
        self._weight = weight

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        out: Tensor = self._weight * super().forward(features) + features
        return out


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of B x C x H x W."""

    def forward(self, features: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        return super().forward(features.movedim(1, -1)).movedim(-1, 1)


def enlarging(width: int, scale: int, activation: nn.Module | None = None, kernel: int = 3) -> nn.Sequential:
    """Return the layers that enlarge features: a convolution and a pixel shuffle; for x4 both twice."""
    layers = nn.Sequential()
    for factor in FACTORS[scale]:
        layers.extend([nn.Conv2d(width, width * factor**2, kernel, padding=kernel // 2), nn.PixelShuffle(factor)])
        layers.extend([activation] if activation else [])
    return layers


def gate(inputs: int, squeezed: int, outputs: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return the layers that turn channels into weights in [0, 1]."""
    return nn.Sequential(nn.Conv2d(inputs, squeezed, 1), activation(), nn.Conv2d(squeezed, outputs, 1), nn.Sigmoid())


def mean_colour(image: Tensor) -> Tensor:
    """Return `MEAN` as 1 x 3 x 1 x 1 for a B x 3 x H x W image."""
    return image.new_tensor(MEAN)[None, :, None, None]


def count(names: Iterable[str], prefix: str) -> int:
    """Return how many different parts follow a prefix in names: "body.0.a", "body.0.b", "body.1.a" have 2 in `body.`"""
    return len({name.removeprefix(prefix).partition(".")[0] for name in names if name.startswith(prefix)})


def to_windows(features: Tensor, size: int) -> Tensor:
    """Cut B x C x H x W into windows: B x windows x size^2 x C. Both sides must be multiples of the size."""
    batch, channels, height, width = features.shape
    x = features.reshape(batch, channels, height // size, size, width // size, size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(batch, -1, size * size, channels)


def from_windows(windows: Tensor, size: int, height: int, width: int) -> Tensor:
    """Put windows of `to_windows` together again: B x C x H x W."""
    batch, _, _, channels = windows.shape
    x = windows.reshape(batch, height // size, width // size, size, size, channels)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, height, width)


def overlapping_cuts(length: int, size: int) -> Tensor:
    """Return the pixels of a side that each patch covers: patches x pixels.

    Neighbours share two pixels; the last patch is moved back inside, and a short side is one patch.
    """
    size = min(size, length)
    step = max(1, size - 2)
    starts = torch.arange(0, length - size + step, step).clamp(max=length - size)
    return starts[:, None] + torch.arange(size)


def cut_patches(features: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Cut B x C x H x W into patches: B x m x n x h x w x C for m x h rows and n x w columns of `overlapping_cuts`."""
    down, across = (cuts.flatten().to(features.device) for cuts in (rows, columns))
    x = features.index_select(2, down).index_select(3, across)  # B x C x mh x nw
    return x.unflatten(3, columns.shape).unflatten(2, rows.shape).permute(0, 2, 4, 3, 5, 1)


def add_patches(patches: Tensor, rows: Tensor, columns: Tensor, height: int, width: int) -> Tensor:
    """Put patches of `cut_patches` back and add them where they overlap: B x C x H x W."""
    down, across = (cuts.flatten().to(patches.device) for cuts in (rows, columns))
    x = patches.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)  # B x C x mh x nw
    x = x.new_zeros(*x.shape[:2], height, x.shape[3]).index_add(2, down, x)
    return x.new_zeros(*x.shape[:2], height, width).index_add(3, across, x)


def relative_places(size: int) -> Tensor:
    """Return the row in a table of (2 size - 1)^2 relative places, for each pair of pixels of a window: N x N."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    down, across = (place.flatten()[:, None] - place.flatten() + size - 1 for place in (rows, columns))
    return down * (2 * size - 1) + across


def shift_mask(height: int, width: int, size: int, shift: int) -> Tensor:
    """Return -100 where a shift brings pixels from opposite borders into one window: windows x 1 x N x N, else 0."""
    rows, columns = (
        (torch.arange(side) >= side - size).int() + (torch.arange(side) >= side - shift) for side in (height, width)
    )
    regions = to_windows((3 * rows[:, None] + columns)[None, None], size)[0]  # windows x N x 1
    return -100.0 * (regions != regions.mT).float()[:, None]
