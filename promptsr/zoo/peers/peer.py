"""Base class of networks of other authors, with the attributes by which `find_peer` knows their checkpoints."""

from typing import ClassVar

from torch import nn


class Peer(nn.Module):
    """A network that is built by `Network(scale)` and maps B x 3 x H x W in [0, 1] to B x 3 x sH x sW, not clamped."""

    TITLE: ClassVar[str]
    """Name that its authors use."""
    NAMES: ClassVar[dict[str, str]] = {}
    """Parts of tensor names in the original checkpoint -> their replacement here, applied in this order."""
    MIN_TILE: ClassVar[int] = 1
    """As in `SRModel`."""
    BYTES_PER_PIXEL: ClassVar[int]
    """Peak memory of a forward pass for each LR pixel, measured on the CPU and rounded up."""
