"""Stop the construction of a network that is out of proportion to the file that asks for it."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_MORE_BYTES, _MORE_TENSORS = 2**28, 4096
"""Allowance for what a network has beside its weights: position tables, masks, initial values."""
_TIMES_BYTES, _TIMES_TENSORS = 4, 16
"""A file may hold floats of 16 bits, and a network makes more tensors than it keeps."""


class BoundedSize(TorchDispatchMode):
    """Limit the tensors and bytes made within it, in proportion to the tensors of a file; checked before each is made.

    Raises:
        ValueError: the limit is exceeded.
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__()
        tensors = [value for value in tree_leaves(dict(content)) if isinstance(value, Tensor)]
        self._bytes_left = _MORE_BYTES + _TIMES_BYTES * sum(tensor.nbytes for tensor in tensors)
        self._tensors_left = _MORE_TENSORS + _TIMES_TENSORS * len(tensors)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if any(argument.name == "device" for argument in func._schema.arguments):  # factories, such as empty and zeros
            outline = func(*args, **{**kwargs, "device": "meta"})
            self._bytes_left -= sum(tensor.nbytes for tensor in tree_leaves(outline) if isinstance(tensor, Tensor))
            self._tensors_left -= 1
            if self._bytes_left < 0 or self._tensors_left < 0:
                raise ValueError("the network is much larger than the file")
        return func(*args, **kwargs)
