"""Base class of networks of other authors, with the attributes by which `find_peer` knows their checkpoints."""

from collections.abc import Mapping
from copy import copy
from typing import Any, ClassVar, Self

from torch import Tensor, nn


class Peer(nn.Module):
    """A network that is built by `Network(scale)` and maps B x 3 x H x W in [0, 1] to B x 3 x sH x sW, not clamped."""

    TITLE: ClassVar[str]
    """Name that its authors use."""
    NAMES: ClassVar[dict[str, str]] = {}
    """Parts of tensor names in the original checkpoint -> their replacement here, applied in this order."""
    COMPUTED: ClassVar[tuple[str, ...]] = ()
    """Ends of the names of tensors that some files hold, but which are computed here."""
    MIN_TILE: ClassVar[int] = 1
    """As in `SRModel`."""
    SIZE_MULTIPLE: ClassVar[int] = 1
    """As in `SRModel`."""
    BYTES_PER_PIXEL: ClassVar[int]
    """Peak memory of a forward pass for each LR pixel, measured on the CPU and rounded up."""
    scale: int
    scales: tuple[int, ...] = ()
    """All scales that its weights serve, of a network that has several."""

    @classmethod
    def settings(cls, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the arguments of the constructor besides the scale, read from tensors by their names here.

        Where tensors belong to another network, any exception of a look-up or of arithmetic may be raised.
        """
        return {}

    def at(self, scale: int) -> Self:
        """Return this network, with the same weights, for another one of its scales."""
        other = copy(self)
        other.scale = scale
        return other
