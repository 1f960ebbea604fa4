"""How much memory a network needs for gradients of its input: it keeps what every layer needs on the way back."""

import math

import torch
from torch import Tensor

from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel

MEMORY_BUDGET = 8 * 2**30
"""Bytes that one pass, forward and backward, may be estimated to need."""
_SIDE = 64
"""Side of the image that is tried, in LR pixels. Attention over the whole image makes larger ones need more."""
_WORK = 1.5
"""Peak of a pass as a multiple of what it keeps: 1.2 to 1.7 as measured by `benchmarks/lam.py --memory`."""


def kept_bytes_per_pixel(model: SRModel) -> float:
    """Measure on a small image the bytes that a forward pass keeps for the backward pass, for each LR pixel."""
    sizes: dict[int, int] = {}  # by address: many layers keep the same tensor
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.network.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the graph would hold a result that holds the graph, and neither would ever go

    image = torch.zeros(1, 3, _SIDE, _SIDE, device=model.device, requires_grad=True)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = model(image)
    del result  # until here it holds all that is kept, so that no address comes up twice
    return sum(sizes.values()) / _SIDE**2


def check_memory(model: SRModel, height: int, width: int, at_once: int) -> None:
    """Refuse images of this size, in LR pixels, if that many at once would need more than `MEMORY_BUDGET`.

    Raises:
        UserError: they would.
    """
    pixel = _WORK * kept_bytes_per_pixel(model) + model.bytes_per_pixel
    need = pixel * height * width  # bytes, of one image
    if at_once * need > MEMORY_BUDGET:
        side = math.isqrt(int(MEMORY_BUDGET / (pixel * at_once)))
        less = f"do {int(MEMORY_BUDGET / need)} at once, or " if need <= MEMORY_BUDGET else ""
        raise UserError(
            f"{model.name} would need about {at_once * need / 2**30:.0f} GiB of memory for the gradients of {at_once} "
            f"images of {width} x {height} pixels at once: {less}crop the image to {side} x {side} around the window."
        )
