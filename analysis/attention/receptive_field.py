"""Effective receptive field of a model (Luo et al., NeurIPS 2016), at its output and over depth.

field = receptive_field(load_model("promptsr-x4"), [image])
field.map  # H x W, the share of each input pixel
field.extent(0.5).area
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.ablations.networks import promptsr_of
from analysis.common.module_flow import record_modules
from analysis.lam.backward_memory import check_memory
from promptsr.support.errors import UserError
from promptsr.zoo.sr_model import SRModel

SHARES = (0.2, 0.3, 0.5, 0.99)
"""Shares of the contribution at which the area is reported: Table 7 of RepLKNet (Ding et al., CVPR 2022)."""


@dataclass(frozen=True)
class Extent:
    """Smallest square around the middle that holds a share of all contribution."""

    share: float
    side: int
    """Side of the square in input pixels, odd; it may stick out of the image."""
    area: float
    """Part of the square that lies in the image, as a share of the image."""


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """Contribution of each input pixel to the output of a layer at the middle pixel.

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
        """Return the smallest square that holds this share of the contribution, in (0, 1)."""
        height, width = self.map.shape
        row, column = height // 2, width // 2
        y, x = np.indices(self.map.shape)
        ring = np.maximum(abs(y - row), abs(x - column)).ravel()  # Chebyshev distance: the ring of a square
        held = np.cumsum(np.bincount(ring, self.map.ravel()))
        reach = int(np.argmax(held >= share - 1e-12))  # up to rounding
        return Extent(share, 2 * reach + 1, float((ring <= reach).mean()))

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Return the squares of the shares in `SHARES`."""
        return tuple(self.extent(share) for share in SHARES)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the map."""
        extents = [asdict(each) for each in self.extents]
        return {"model": self.model, "layer": self.layer, "images": self.images, "extents": extents}


def check_model(model: SRModel, height: int, width: int) -> None:
    """Refuse models without gradients, and images of this size, in LR pixels, that would need too much memory.

    Raises:
        UserError: the model has no gradients, or the image would need too much memory.
    """
    if not model.differentiable:
        raise UserError(f"{model.name} gives no gradients, so it has no receptive field here: choose a PyTorch model.")
    check_memory(model, height, width, 1)


def receptive_field(model: SRModel, images: Sequence[Tensor]) -> ReceptiveField:
    """Measure the effective receptive field of the output.

    Args:
        model: any model through which gradients flow.
        images: at least one, of one size, 1 x 3 x H x W in [0, 1].

    Raises:
        UserError: the model gives no gradients, its output does not depend on the image, or it needs too much memory.
    """
    [field] = _measure(model, images, {})
    return field


def receptive_fields_over_depth(model: SRModel, images: Sequence[Tensor]) -> tuple[ReceptiveField, ...]:
    """Measure the effective receptive field of the features that leave each block of a PromptSR, and of the output.

    Raises:
        UserError: as `receptive_field`, or the model is not a PromptSR.
    """
    return _measure(model, images, blocks_of(model))


def blocks_of(model: SRModel) -> dict[str, str]:
    """Return the blocks of a PromptSR, name -> path of the module; raise a `UserError` for any other model."""
    config = promptsr_of(model).config
    return {
        f"group {group + 1}, block {block + 1}": f"groups.{group}.blocks.{block}"
        for group in range(config.groups)
        for block in range(config.blocks_per_group)
    }


def extents_table(fields: Sequence[ReceptiveField]) -> pd.DataFrame:
    """List model, layer, share, side (input pixels) and area (share of the image), a row per field and share."""
    rows = [{"model": f.model, "layer": f.layer, **asdict(extent)} for f in fields for extent in f.extents]
    return pd.DataFrame(rows)


def contributions(model: SRModel, image: Tensor, blocks: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return what each pixel of one image contributes to the middle pixel, not scaled, H x W float64 for each layer.

    Args:
        model: any model through which gradients flow.
        image: 1 x 3 x H x W in [0, 1].
        blocks: name -> path of a block of a PromptSR, see `blocks_of`; the `output` comes after them.

    Raises:
        UserError: the gradient of a layer is zero or not finite.
    """
    row, column, scale = image.shape[2] // 2, image.shape[3] // 2, model.scale
    leaf = image.detach().to(model.device).requires_grad_()
    with torch.enable_grad(), record_modules(model.network, blocks) as seen:
        output = model(leaf)  # 1 x 3 x sH x sW
        # A block returns its features, 1 x H x W x C on the padded image, and its anchor prompts.
        values = {name: flow.output[0][0, row, column].sum() for name, flow in seen.items()}
        y, x = scale * row, scale * column
        values["output"] = output[0, :, y : y + scale, x : x + scale].sum()
    maps = {name: _contribution(value, leaf) for name, value in values.items()}
    for name, found in maps.items():
        if not 0 < found.sum() < np.inf:
            raise UserError(f"The {name} of {model.name} has no gradient at this image: choose another image or model.")
    return maps


def mean_fields(model: SRModel, images: Sequence[Mapping[str, np.ndarray]]) -> tuple[ReceptiveField, ...]:
    """Return the mean over images of `contributions`, each layer scaled to sum 1."""
    totals = {name: np.sum([maps[name] for maps in images], axis=0) for name in images[0]}
    return tuple(ReceptiveField(model.name, name, len(images), total / total.sum()) for name, total in totals.items())


def _measure(model: SRModel, images: Sequence[Tensor], blocks: Mapping[str, str]) -> tuple[ReceptiveField, ...]:
    """Measure the fields of blocks, name -> path of the module, and of the output."""
    check_model(model, *images[0].shape[2:])
    return mean_fields(model, [contributions(model, image, blocks) for image in images])


def _contribution(value: Tensor, image: Tensor) -> np.ndarray:
    """Return |d value / d image| summed over the channels, H x W; zero where nothing depends on the image."""
    if not value.requires_grad:
        return np.zeros(image.shape[2:])
    [gradient] = torch.autograd.grad(value, image, retain_graph=True, allow_unused=True, materialize_grads=True)
    size: np.ndarray = gradient[0].double().abs().sum(0).cpu().numpy()
    return size
