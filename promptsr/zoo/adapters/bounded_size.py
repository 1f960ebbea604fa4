"""Stops the building of a network that is out of all proportion to the file that asks for it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_MORE_BYTES, _MORE_TENSORS = 2**28, 4096
"""What a network may have beside its weights: tables of positions, masks, values that it starts from."""
_TIMES_BYTES, _TIMES_TENSORS = 4, 16
"""A file may hold floats of 16 bits, and a network makes more tensors than it keeps."""


class BoundedSize(TorchDispatchMode):
    """Within it, no more than so many tensors and bytes are made; checked before each is.

    Raises:
        ValueError: more are asked for.
    """

    def __init__(self, most_bytes: int, most_tensors: int) -> None:
        super().__init__()
        self._bytes_left = most_bytes
        self._tensors_left = most_tensors

    @classmethod
    def by(cls, content: Mapping[str, Any]) -> "BoundedSize":
        """In proportion to the tensors of a file."""
        tensors = [value for value in tree_leaves(dict(content)) if isinstance(value, Tensor)]
        return cls(
            _MORE_BYTES + _TIMES_BYTES * sum(tensor.nbytes for tensor in tensors),
            _MORE_TENSORS + _TIMES_TENSORS * len(tensors),
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(argument.name == "device" for argument in func._schema.arguments):  # what makes tensors of nothing
            outline = func(*args, **{**kwargs, "device": "meta"})
            self._bytes_left -= sum(tensor.nbytes for tensor in tree_leaves(outline) if isinstance(tensor, Tensor))
            self._tensors_left -= 1
            if self._bytes_left < 0 or self._tensors_left < 0:
                raise ValueError("the network is much larger than the file")
        return func(*args, **kwargs)
