"""Base of networks of other authors, with what `find_peer` needs to know their checkpoints."""

from typing import ClassVar

from torch import nn


class Peer(nn.Module):
    """A network that is built by `Network(scale)` and maps B x 3 x H x W in [0, 1] to B x 3 x sH x sW, not clamped."""

    TITLE: ClassVar[str]
    """What its authors call it."""
    NAMES: ClassVar[dict[str, str]] = {}
    """What the original checkpoint calls the modules -> what they are called here, replaced in this order."""
    MIN_TILE: ClassVar[int] = 1
    """As in `SRModel`."""
    BYTES_PER_PIXEL: ClassVar[int]
    """Peak memory of a forward pass for each LR pixel, measured on the CPU and rounded up."""
