"""A walk through the network: one image, one residual group, one block, and the output of every box on the way.

tour = walk(network, image, group=0, block=1, focus=(40, 24))
tour.stops["coarse_map"].views[0].values  # where the anchor at pixel (40, 24) reads
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.attention.maps import check_block
from analysis.common.module_flow import record_modules
from analysis.common.token_grid import TokenGrid
from analysis.tour.boxes import Box, boxes
from analysis.tour.views import VIEWS, Scene, View
from promptsr.complexity.counting import LayerCost, count
from promptsr.imaging.picture import to_array
from promptsr.model.network import PromptSR
from promptsr.model.taps import record, tap_names


@dataclass(frozen=True, eq=False)
class Stop:
    """A box at work on this image."""

    box: Box
    cost: LayerCost
    """Cost of the whole layer, for an image of this size."""
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    """Both as they flow through the network: with the batch, and padded to whole windows and anchors."""
    views: tuple[View, ...]


@dataclass(frozen=True, eq=False)
class Tour:
    """The whole walk."""

    photo: np.ndarray
    """Input image, H x W x 3 in [0, 1]."""
    focus: tuple[int, int]
    """The chosen pixel, x and y."""
    grid: TokenGrid
    """Tokens of the photo."""
    stops: dict[str, Stop]
    """By the key of their box, in forward order."""


def shrink(image: Tensor, longest: int) -> Tensor:
    """Scale B x 3 x H x W in [0, 1] down (bicubic) until no side is longer than `longest` pixels."""
    height, width = image.shape[2:]
    factor = min(1.0, longest / max(height, width))
    size = [max(1, round(side * factor)) for side in (height, width)]
    return F.interpolate(image, size=size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)


@torch.inference_mode()
def walk(
    network: PromptSR, image: Tensor, *, group: int = 0, block: int = 0, focus: tuple[int, int] | None = None
) -> Tour:
    """Send an image through the network and look into one block of one residual group.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1]; small, since the similarity maps of that block are stored.
        group: residual group, from 0.
        block: cascade prompting block in the group, from 0.
        focus: the pixel (x, y) whose anchor and windows are shown; the middle one if None.

    Raises:
        UserError: no such group or block, or a pixel outside of the image.
    """
    config = network.config
    height, width = image.shape[2:]
    x, y = focus or (width // 2, height // 2)
    check_block(config, group, block)
    grid = TokenGrid(config, height, width)
    grid.check_pixel(x, y)

    path = f"groups.{group}.blocks.{block}."
    before = f"groups.{group}.blocks.{block - 1}.global_prompting.anchor_prompts"
    taps = [name for name in tap_names(network) if name.startswith(path) or name == before]
    taps = [name for name in taps if "category_attention" not in name]
    places = {box.key: box.module.format(group=group, block=block) for box in boxes(config)}
    modules = {**places, "convolution": f"groups.{group}"}  # with the residual around the convolution
    with record(network, taps) as seen, record_modules(network, modules) as flow:
        output = network(image)

    within = {name.removeprefix(path): value for name, value in seen.items()}
    scene = Scene(grid, image, output, (x, y), within, seen.get(before), flow)
    costs = {layer.name: layer for layer in _count(config, height, width).layers}
    stops = {}
    for box in boxes(config):
        entered, left, views = VIEWS[box.key](scene)
        stops[box.key] = Stop(box, costs[places[box.key]], tuple(entered.shape), tuple(left.shape), views)
    return Tour(to_array(image), (x, y), grid, stops)


_count = lru_cache(maxsize=16)(count)  # a page asks again and again about one size
