"""Infer scale and memory of an unknown network by running it on small images."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from promptsr.support.errors import CheckpointError, UserError, first_line

PROBE = (33, 47)
"""Height and width of the test image: odd, as photographs are."""
_SIDE = 64
_LEAST, _UNKNOWN = 512, 32768
STEPS = 4
"""Peak of a pass in largest steps: at most 3.95 (SPAN) as measured with nine networks at 128 and 256 pixels a side."""


@torch.no_grad()
def find_scale(name: str, network: Callable[[Tensor], Any], size: tuple[int, int] = PROBE) -> int:
    """Return the scale of a network, measured with a test image of this height and width.

    Raises:
        CheckpointError: the network fails, with the original error chained, or returns no enlarged image.
    """
    height, width = size
    image = torch.linspace(0, 1, 3 * height * width).view(1, 3, height, width)
    what = f"a test image of 1 x 3 x {height} x {width}"
    try:
        output: Any = network(image)
    except UserError as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # whatever the user's code may raise
        raise CheckpointError(
            f"{name} failed on {what} ({describe(error)}): it must take B x 3 x H x W of any size; let it pad."
        ) from error
    found = type(output).__name__
    if isinstance(output, Tensor):
        found = f"{' x '.join(map(str, output.shape))} of {output.dtype}"
        scale = output.shape[-1] // width if output.ndim else 0
        if scale > 1 and output.shape == (1, 3, scale * height, scale * width) and output.is_floating_point():
            return scale
    raise CheckpointError(
        f"{name} turned {what} into {found}: it must return a float tensor of B x 3 x sH x sW with a whole number s of "
        "2 or more."
    )


def has_gradients(network: nn.Module, side: int) -> bool:
    """Return whether gradients reach a square image: some networks overwrite what the backward pass needs."""
    image = torch.zeros(1, 3, side, side, requires_grad=True)
    try:
        with torch.enable_grad():
            torch.autograd.grad(network(image).sum(), image)
    except Exception:
        return False
    return True


@torch.no_grad()
def estimate_bytes_per_pixel(network: nn.Module) -> int:
    """Estimate the working memory of a forward pass for each LR pixel, as a multiple of that of its largest step.

    The step is found on a copy without values, which costs next to nothing; a network that cannot run like that gets a
    cautious guess.
    """
    image = torch.empty(1, 3, _SIDE, _SIDE, device="meta")
    largest = _LargestStep()
    try:
        copy = deepcopy(network).to("meta")
        with largest:
            copy(image)
    except Exception:  # code that looks at values, or makes tensors of its own on the CPU
        return _UNKNOWN
    return max(_LEAST, STEPS * largest.bytes // _SIDE**2)


class _LargestStep(TorchDispatchMode):
    """Record the largest number of bytes that one operator reads and writes; parameters do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, result)) if isinstance(t, Tensor) and not isinstance(t, nn.Parameter)]
        self.bytes = max(self.bytes, sum(tensor.nbytes for tensor in tensors))
        return result


def describe(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    line = first_line(str(error))
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
