"""State of the tab *Attention*: the last blocks that were looked at, and files for the page."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.attention.figure import draw_attention, group_overlay, overlay
from analysis.attention.jacobian import AttentionBranch, attention_branch
from analysis.attention.maps import LAYERS, AttentionMaps, look
from analysis.attention.pixel import PixelAttention, attention_at
from analysis.common.figure_style import publish
from analysis.common.image_windows import Region
from analysis.common.suggestions import suggest
from analysis.tour.walk import shrink
from promptsr.data import make_lr
from promptsr.imaging import Metadata, encode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.picture import to_array
from promptsr.imaging.resize import crop_to_multiple, upscale
from promptsr.support.errors import UserError
from workbench.sessions import models
from workbench.sessions.pictures import BLUE, framed, from_array, new_folder, to_picture
from workbench.sessions.uploads import read_photograph

LONGEST_SIDE = 96
"""Photographs are scaled down to this many pixels: the maps of a block are stored."""
_ROOM = 480
"""Pixels that a picture fills if it can."""
_TITLES = {
    "fine": "Anchors it attends to: the pixel's row of M fine, on the anchors",
    "reading_1": "What anchor 1 reads: its row of M coarse",
    "reading_2": "What anchor 2 reads",
    "reading_3": "What anchor 3 reads",
    "own_anchor": "What the anchor of the pixel's own square reads",
    "composed": "From pixel to pixel: M fine and M coarse composed",
    "jacobian": "What its prompt really depends on: the Jacobian",
}


@dataclass(frozen=True, eq=False)
class Looked:
    """One block at work on a photograph."""

    photo: np.ndarray
    """Input of the network, H x W x 3 in [0, 1]."""
    maps: AttentionMaps
    branch: AttentionBranch | None
    """None where the network has no anchors."""

    def at(self, x: int, y: int, jacobian: bool) -> PixelAttention:
        """Everything about one pixel of the input."""
        return attention_at(self.maps, self.branch if jacobian else None, self.photo, x, y)


@lru_cache(maxsize=4)
def small(image: str) -> Tensor:
    """Return the input of the network, a photograph made small: 1 x 3 x H x W in [0, 1]."""
    return shrink(read_photograph(image).to_tensor(), LONGEST_SIDE)


# Maps take up to some hundred megabytes, so they are kept for the last blocks of all sessions and not for each.
@lru_cache(maxsize=2)
def looked(image: str, model: str, group: int, block: int) -> Looked:
    """Look at one block, counted from 1 as its group; a second question about it costs nothing.

    Raises:
        UserError: no such model or block, or an unreadable image.
    """
    network, lr = models.network(model), small(image)
    maps = look(network, lr, group=group - 1, block=block - 1)
    anchored = network.config.anchor_prompting
    branch = attention_branch(network, lr, group=group - 1, block=block - 1) if anchored else None
    return Looked(to_array(lr), maps, branch)


def find_place(kind: str, image: str, model: str) -> tuple[int, int]:
    """Return a pixel of the input worth a look, x and y: the middle of a window that `suggest` finds.

    The input takes the part of an HR image: it is shrunk, and upscaled again by the network and by bicubic
    interpolation.

    Raises:
        UserError: no such network, an input that is too small, or as `suggest`.
    """
    network = models.network(model)
    scale = network.config.scale
    hr = crop_to_multiple(small(image), scale)
    if 0 in hr.shape:
        raise UserError(f"The photograph is smaller than {scale} pixels: send a larger one.")
    lr = make_lr(hr, scale)
    with torch.no_grad():
        results = [quantize(each) for each in (upscale(lr, scale), network(lr))]
    region = suggest(kind, lr, hr, results, network.config.window_size)
    return region.x + region.size // 2, region.y + region.size // 2


def magnification(height: int, width: int) -> int:
    """Return how many times larger than the input pictures are, so that there is room for a click."""
    return max(1, _ROOM // max(height, width))


def view(image: str, x: int, y: int) -> str:
    """File with the input, enlarged, and the pixel in a frame."""
    file = new_folder() / "input.png"
    _write(to_array(small(image)), x, y, file)
    return str(file)


def draw(seen: PixelAttention) -> list[tuple[str, str]]:
    """Write every map of a pixel over the input; return the files with their titles."""
    folder = new_folder()
    pictures: dict[str, tuple[np.ndarray, str]] = {}
    for name, title in _TITLES.items():
        if name in seen.weights:
            pictures[name] = overlay(seen.weights[name], seen.photo), title
    for number, anchor in enumerate(seen.anchors, start=1):
        array, title = pictures[f"reading_{number}"]
        pictures[f"reading_{number}"] = array, f"{title}. It has {anchor.weight:.1%} of the pixel's attention"
    for layer in LAYERS:
        if f"members_{layer}" in seen.groups:
            members, category = (seen.groups[f"{kind}_{layer}"] for kind in ("members", "category"))
            sizes = f"{members.sum()} pixels that attend to each other; its category has {category.sum()}"
            array = group_overlay(members, category, seen.photo)
            pictures[f"group_{layer}"] = array, f"Its {layer} group: {sizes}"
    for layer in LAYERS:
        for head in range(len(seen.weights[f"windows_{layer}"].values)):
            array = overlay(seen.weights[f"windows_{layer}"], seen.photo, head)
            pictures[f"window_{layer}_{head}"] = array, f"Its window in the {layer} layer, head {head + 1}"
    files = []
    for name, (array, title) in pictures.items():
        file = folder / f"{name}.png"
        _write(array, seen.x, seen.y, file)
        files.append((str(file), title))
    return files


def rows(seen: PixelAttention) -> list[dict[str, Any]]:
    """Return the numbers of every map, as plain values."""
    found = []
    for name, weights in seen.weights.items():
        for head, reach in enumerate(seen.reach(name), start=1):
            layer = name.removeprefix("windows_")
            label = f"window, {layer} layer, head {head}" if layer != name else name.replace("_", " ")
            unit = "pixels" if weights.stride == 1 else "anchors"
            numbers = {} if reach is None else vars(reach)
            found.append({"map": label, "unit": unit, "on_padding": weights.padding_share, **numbers})
    return found


def keep(seen: PixelAttention, name: str) -> list[str]:
    """Write a figure (PNG, SVG) and the arrays (npz)."""
    folder = new_folder()
    figure = draw_attention(seen, name)
    for suffix in (".png", ".svg"):
        publish(figure, folder / f"{name}-attention{suffix}")
    seen.save(folder / f"{name}-attention.npz")
    return [str(folder / f"{name}-attention{suffix}") for suffix in (".png", ".svg", ".npz")]


def _write(array: np.ndarray, x: int, y: int, file: Path) -> None:
    """H x W x 3 in [0, 1] as a file, enlarged, with a frame around the pixel."""
    factor = magnification(*array.shape[:2])
    encode(to_picture(framed(from_array(array), Region(x, y, 1), factor, color=BLUE), Metadata()), file)
