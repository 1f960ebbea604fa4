"""How far does a model look? Its effective receptive field (Luo et al., NeurIPS 2016), at its output and over depth.

field = receptive_field(load_model("promptsr-tiny-x4"), [image])
field.map  # H x W, the share of each input pixel
field.extent(0.5).area
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.lam.backward_memory import check_memory
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.model.network import PromptSR
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel

SHARES = (0.2, 0.3, 0.5, 0.99)
"""Of the contribution, at which the area is reported: Table 7 of RepLKNet (Ding et al., CVPR 2022)."""


@dataclass(frozen=True)
class Extent:
    """The smallest square around the middle that holds a share of all contribution."""

    share: float
    side: int
    """Of the square in input pixels, odd; it may stick out of the image."""
    area: float
    """The part of the square that lies in the image, as a share of the image."""


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """How much each input pixel contributes to what a layer makes of the middle pixel.

    The contribution of a pixel is the sum over its channels of |dv / dx|, where v is the sum of all values that belong
    to the middle pixel (column W // 2, row H // 2): the s x s x 3 values of the output there, or the C features of its
    token. The mean over images is scaled to sum 1. RepLKNet drops negative gradients where this takes their size:
    super-resolution sharpens, and the negative parts are as telling as the positive ones.
    """

    model: str
    layer: str
    """`output`, or a block such as `group 1, block 2`."""
    images: int
    map: np.ndarray
    """H x W float64, not negative, of sum 1."""

    def extent(self, share: float) -> Extent:
        """The square that holds this share of the contribution, in (0, 1)."""
        height, width = self.map.shape
        row, column = height // 2, width // 2
        y, x = np.indices(self.map.shape)
        ring = np.maximum(abs(y - row), abs(x - column)).ravel()  # Chebyshev distance: the ring of a square
        held = np.cumsum(np.bincount(ring, self.map.ravel()))
        # A share that is met up to rounding is met.
        reach = int(np.argmax(held >= share - 1e-12))
        return Extent(share, 2 * reach + 1, float((ring <= reach).mean()))

    @property
    def extents(self) -> tuple[Extent, ...]:
        """At the shares of `SHARES`."""
        return tuple(self.extent(share) for share in SHARES)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the map."""
        extents = [asdict(each) for each in self.extents]
        return {"model": self.model, "layer": self.layer, "images": self.images, "extents": extents}


def check_model(model: SRModel, height: int, width: int) -> None:
    """Refuses models without gradients, and images of this size, in LR pixels, if they would need too much memory.

    Raises:
        UserError: they would.
    """
    if not model.differentiable:
        raise UserError(f"{model.name} gives no gradients, so it has no receptive field here: choose a PyTorch model.")
    check_memory(model, height, width, 1)


def receptive_field(model: SRModel, images: Sequence[Tensor]) -> ReceptiveField:
    """The effective receptive field of the output.

    Args:
        model: any model through which gradients flow.
        images: at least one, of one size, 1 x 3 x H x W in [0, 1].

    Raises:
        UserError: the model gives no gradients, its output does not depend on the image, or it needs too much memory.
    """
    [field] = _fields(model, images, lambda image: [("output", _middle(model(image), image, model.scale))])
    return field


def receptive_fields_over_depth(model: SRModel, images: Sequence[Tensor]) -> tuple[ReceptiveField, ...]:
    """The effective receptive field of the features that leave each block of a PromptSR, and that of the output last.

    Raises:
        UserError: as `receptive_field`, or the model is no PromptSR.
    """
    network = model.network
    if not isinstance(network, PromptSR):
        raise UserError(f"{model.name} is no PromptSR: its effective receptive field is known at the output only.")

    def values(image: Tensor) -> list[tuple[str, Tensor]]:
        with _leaving_blocks(network) as features:
            output = model(image)
        row, column = image.shape[2] // 2, image.shape[3] // 2
        layers = [(name, x[0, row, column].sum()) for name, x in features.items()]
        return [*layers, ("output", _middle(output, image, model.scale))]

    return _fields(model, images, values)


def extents_table(fields: Sequence[ReceptiveField]) -> pd.DataFrame:
    """A row per field and share of `SHARES`: model, layer, share, side (input pixels), area (share of the image)."""
    rows = [{"model": f.model, "layer": f.layer, **asdict(extent)} for f in fields for extent in f.extents]
    return pd.DataFrame(rows)


def _middle(output: Tensor, image: Tensor, scale: int) -> Tensor:
    """The sum of all values that the output, 1 x 3 x sH x sW, has for the middle pixel of the image."""
    y, x = (scale * (side // 2) for side in image.shape[2:])
    return output[0, :, y : y + scale, x : x + scale].sum()


def _fields(
    model: SRModel, images: Sequence[Tensor], values: Callable[[Tensor], list[tuple[str, Tensor]]]
) -> tuple[ReceptiveField, ...]:
    """Fields of what `values` makes of an image: the name of each layer, and a scalar."""
    height, width = images[0].shape[2:]
    check_model(model, height, width)
    maps: dict[str, np.ndarray] = {}
    for image in images:
        leaf = image.detach().to(model.device).requires_grad_()
        with torch.enable_grad():
            layers = values(leaf)
        for name, value in layers:
            maps[name] = maps.get(name, np.zeros((height, width))) + _contribution(value, leaf)
    for name, total in maps.items():
        if not 0 < total.sum() < np.inf:
            raise UserError(f"The {name} of {model.name} has no gradient at this image: choose another image or model.")
    return tuple(ReceptiveField(model.name, name, len(images), total / total.sum()) for name, total in maps.items())


def _contribution(value: Tensor, image: Tensor) -> np.ndarray:
    """|d value / d image| summed over the channels, H x W; zero where nothing depends on the image."""
    if not value.requires_grad:
        return np.zeros(image.shape[2:])
    [gradient] = torch.autograd.grad(value, image, retain_graph=True, allow_unused=True, materialize_grads=True)
    size: np.ndarray = gradient[0].double().abs().sum(0).cpu().numpy()
    return size


@contextmanager
def _leaving_blocks(network: PromptSR) -> Iterator[dict[str, Tensor]]:
    """Collects the features that leave each block, B x H x W x C on the padded image, by the name of the block."""
    seen: dict[str, Tensor] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_block: nn.Module, _inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
            seen[name] = outputs[0]

        return hook

    handles = []
    for path, module in network.named_modules():
        if isinstance(module, CascadePromptingBlock):
            _, group, _, block = path.split(".")  # groups.0.blocks.1
            name = f"group {int(group) + 1}, block {int(block) + 1}"
            handles.append(module.register_forward_hook(note(name)))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
