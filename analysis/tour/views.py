"""Pictures of a tour: views of every box of the network."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from torch import Tensor

from analysis.attention.maps import Layer, grouping
from analysis.common.module_flow import Flow
from analysis.common.token_grid import TokenGrid
from promptsr.imaging.picture import to_array
from promptsr.imaging.resize import upscale

_RELATIVE = "attention relative to uniform (1 = average)"


@dataclass(frozen=True, eq=False)
class View:
    """One picture of a box. All pictures cover the same image, whatever their number of pixels."""

    title: str
    kind: Literal["colors", "similarity", "share", "signed", "categories"]
    values: np.ndarray
    """By kind. colors: h x w x 3 in [0, 1]. similarity: h x w of any size. share: h x w, attention weights as multiples
    of an even spread over all that is read; not negative, and 1 on average. signed: h x w around 0. categories: h x w,
    the number of an anchor for each pixel."""
    pitch: float = 1.0
    """Input pixels along the side of one value."""
    marked: Literal["", "pixel", "anchor"] = ""
    """Mark the chosen pixel, or the square of the anchor that it belongs to."""
    window: int = 0
    """Side of the attention windows to outline, in input pixels; 0 for none."""
    shift: int = 0
    """Offset of these windows to the right and down."""


Sight = tuple[Tensor, Tensor, tuple[View, ...]]
"""A box at work: its input and output with the batch, padded to whole windows and anchors, and pictures."""


@dataclass(frozen=True, eq=False)
class Scene:
    """Values recorded during one forward pass."""

    grid: TokenGrid
    """Tokens of the image; cuts values on the padded image to the image itself."""
    image: Tensor
    """Input of the network, 1 x 3 x H x W."""
    output: Tensor
    """Output of the network, 1 x 3 x sH x sW."""
    focus: tuple[int, int]
    """The chosen pixel, x and y."""
    taps: dict[str, Tensor]
    """Values at the taps of the chosen block, by their name within it."""
    previous_prompts: Tensor | None
    """Anchor prompts of the block before in this group, 1 x n x C."""
    flow: dict[str, Flow]
    """Input and output of each layer, by the key of its box."""

    def gapl(self, tap: str) -> Tensor:
        """Return the value at a tap of the global anchor prompting layer."""
        return self.taps[f"global_prompting.{tap}"]

    def ends(self, key: str) -> tuple[Tensor, Tensor]:
        """Return input and output of a layer; blocks return their features first."""
        inputs, output = self.flow[key]
        return inputs[0], output[0] if isinstance(output, tuple) else output

    def features(self, key: str) -> list[np.ndarray]:
        """Return input and output of a layer as colours, H x W x 3 each."""
        first = key in ("convolution", "fusion")  # channels first; the blocks have them last
        maps = [value[0].flatten(1).T if first else value[0].flatten(0, 1) for value in self.ends(key)]
        return as_colors(*(self.grid.cut(tokens) for tokens in maps))  # each HW x C


def as_colors(*maps: np.ndarray) -> list[np.ndarray]:
    """Colour feature maps: how far each pixel is from the mean, along the three axes on which they vary most.

    The axes are common to all maps, mean and scale are each map's own; of each scale the outermost 3 percent at either
    end is cut off.

    Args:
        maps: h x w x C each, of any h and w, with the same C.

    Returns:
        h x w x 3 in [0, 1] each; 0.5 in a component that does not vary.
    """
    centred = [values - values.mean((0, 1)) for values in maps]
    scatter = sum(np.tensordot(values, values, axes=((0, 1), (0, 1))) for values in centred)  # C x C
    _, _, axes = np.linalg.svd(scatter)
    axes = axes[:3] * np.where(axes[:3].sum(1, keepdims=True) < 0, -1, 1)  # an axis has no direction: choose one
    return [_stretch(values @ axes.T) for values in centred]


def _stretch(scores: np.ndarray) -> np.ndarray:
    """h x w x up to 3 -> h x w x 3 in [0, 1]."""
    low, high = np.percentile(scores, [3, 97], axis=(0, 1))
    varies = high - low > 1e-6 * np.abs(scores).max()
    colors = np.full((*scores.shape[:2], 3), 0.5)
    colors[..., : scores.shape[2]] = np.where(varies, (scores - low) / np.where(varies, high - low, 1), 0.5)
    return colors.clip(0, 1)


def _encoder(scene: Scene) -> Sight:
    before, after = scene.ends("encoder")
    [colors] = as_colors(scene.grid.cut(after[0].flatten(1).T))  # C x H x W -> HW x C
    image = View("The image", "colors", to_array(scene.image))
    return before, after, (image, View(f"Its {after.shape[1]} features, as colours", "colors", colors))


def _anchors(scene: Scene) -> Sight:
    features, anchors = scene.ends("anchors")[0], scene.gapl("anchors")
    stride = scene.grid.config.anchor_stride
    [entering] = as_colors(scene.grid.cut(features[0].flatten(0, 1)))
    [colors] = as_colors(scene.grid.cut(anchors[0], stride))
    views = (
        View("Features that enter the block", "colors", entering, marked="anchor"),
        View(f"Anchors, one for {stride} × {stride} pixels", "colors", colors, stride, "anchor"),
    )
    return features, anchors, views


def _coarse_map(scene: Scene) -> Sight:
    coarse, grid = scene.gapl("coarse_map"), scene.grid
    row = coarse[0, grid.index(*scene.focus, grid.config.anchor_stride)]  # HW
    views = (
        View("The chosen anchor's row of M coarse", "similarity", grid.cut(row), marked="anchor"),
        View(f"Where it reads: {_RELATIVE}", "share", grid.cut(_times_even(row)), marked="anchor"),
    )
    return scene.gapl("anchors"), coarse, views


def _times_even(similarities: Tensor) -> Tensor:
    """Return SoftMax weights as multiples of an even spread; n -> n."""
    return similarities.softmax(0) * len(similarities)


def _anchor_prompts(scene: Scene) -> Sight:
    prompts, previous = scene.gapl("anchor_prompts"), scene.previous_prompts
    stride = scene.grid.config.anchor_stride
    maps = [scene.grid.cut(values[0], stride) for values in (previous, prompts) if values is not None]
    titles = ("Prompts of the block before", "Prompts of this block")[-len(maps) :]
    views = (View(t, "colors", c, stride, "anchor") for t, c in zip(titles, as_colors(*maps), strict=True))
    return scene.gapl("coarse_map"), prompts, tuple(views)


def _fine_map(scene: Scene) -> Sight:
    fine, grid = scene.gapl("fine_map"), scene.grid
    row, stride = fine[0, grid.index(*scene.focus)], grid.config.anchor_stride  # n
    views = (
        View("The chosen pixel's row of M fine", "similarity", grid.cut(row, stride), stride, "pixel"),
        View(f"Anchors it attends to: {_RELATIVE}", "share", grid.cut(_times_even(row), stride), stride, "pixel"),
    )
    return scene.ends("fine_map")[0], fine, views


def _prompted(scene: Scene) -> Sight:
    titles = "Features before the prompts", "Features with the prompts"
    _, after, views = _before_and_after(scene, "prompted", *titles)
    return scene.gapl("fine_map"), after, views


def _before_and_after(scene: Scene, key: str, before: str, after: str) -> Sight:
    """Show the features that enter and leave a layer, under these two titles."""
    entering, leaving = scene.features(key)
    return *scene.ends(key), (View(before, "colors", entering), View(after, "colors", leaving))


def _local(scene: Scene, key: str, module: str, layer: Layer | None = None) -> Sight:
    """Show a layer with windows; `layer` is the local prompting layer that it is, if it is one."""
    grid, views = scene.grid, []
    source = grouping(grid.config, layer) if layer else None
    if source:
        labels = scene.gapl(f"{source}_category")[0]  # HW
        title = f"Categories: {labels.unique().numel()} of {scene.gapl('anchors').shape[1]} anchors chosen"
        views.append(View(title, "categories", grid.cut(labels)))
    window = grid.config.window_size
    shift = window // 2 if layer == "fine" else 0
    weights = scene.taps[f"{module}.window_attention.weights"]
    row = grid.window_row(weights, *scene.focus, shift).mean(0) * window**2  # heads x HW -> HW
    title = "Attention of the pixel in its window, relative to uniform (1 = average)"
    views.append(View(title, "share", grid.cut(row), marked="pixel", window=window, shift=shift))
    views.append(View("Output features", "colors", scene.features(key)[1]))
    return *scene.ends(key), tuple(views)


def _decoder(scene: Scene) -> Sight:
    scale = scene.grid.config.scale
    added = (scene.output - upscale(scene.image, scale))[0].mean(0).float().cpu().numpy()
    views = (
        View("The image", "colors", to_array(scene.image)),
        View("What it adds to bicubic enlargement", "signed", added, 1 / scale),
        View("The result", "colors", to_array(scene.output), 1 / scale),
    )
    return scene.ends("decoder")[0], scene.output, views


VIEWS: dict[str, Callable[[Scene], Sight]] = {
    "encoder": _encoder,
    "anchors": _anchors,
    "coarse_map": _coarse_map,
    "anchor_prompts": _anchor_prompts,
    "fine_map": _fine_map,
    "prompted": _prompted,
    "plain": partial(_local, key="plain", module="global_prompting"),
    "coarse": partial(_local, key="coarse", module="coarse_prompting", layer="coarse"),
    "fine": partial(_local, key="fine", module="fine_prompting", layer="fine"),
    "convolution": partial(
        _before_and_after, key="convolution", before="Features that entered the group", after="Output features"
    ),
    "fusion": partial(_before_and_after, key="fusion", before="Features of the last group", after="Deep features"),
    "decoder": _decoder,
}
"""Function that draws each box, by its key."""
