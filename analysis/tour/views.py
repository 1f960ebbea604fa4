"""Pictures of a tour: views of every box of the network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from torch import Tensor

from analysis.common.token_grid import TokenGrid
from promptsr.config import ModelConfig
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
    """Whether the chosen pixel stands out, or the square of the anchor that it belongs to."""
    window: int = 0
    """Side of the attention windows to outline, in input pixels; 0 for none."""
    shift: int = 0
    """How far these windows are moved to the right and down."""


class Sight(NamedTuple):
    """A box at work: shapes as they flow, with the batch and padded to whole windows and anchors, and pictures."""

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    views: tuple[View, ...]


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything seen during one forward pass, and how to cut it from the padded image to the image itself."""

    config: ModelConfig
    image: Tensor
    """What went into the network, 1 x 3 x H x W."""
    output: Tensor
    """What came out, 1 x 3 x sH x sW."""
    focus: tuple[int, int]
    """The chosen pixel, x and y."""
    taps: dict[str, Tensor]
    """Values at the taps of the chosen block, by their name within it."""
    previous_prompts: Tensor | None
    """Anchor prompts of the block before in this group, 1 x n x C."""
    flow: dict[str, tuple[Tensor, Tensor]]
    """What entered and what left each layer, by the key of its box."""

    @property
    def grid(self) -> TokenGrid:
        """How the tokens lie over the image."""
        return TokenGrid(self.config, *self.image.shape[2:])

    def index(self, stride: int) -> int:
        """Return the index of the chosen pixel among squares of `stride` x `stride` pixels, in reading order."""
        return self.grid.index(*self.focus, stride)

    def cut(self, values: Tensor, stride: int = 1) -> np.ndarray:
        """See `TokenGrid.cut`."""
        return self.grid.cut(values, stride)

    def gapl(self, tap: str) -> Tensor:
        """The value at a tap of the global anchor prompting layer."""
        return self.taps[f"global_prompting.{tap}"]

    def features(self, key: str) -> list[np.ndarray]:
        """Return input and output of a layer as colours, H x W x 3 each."""
        first = key in ("encoder", "convolution", "fusion", "decoder")  # channels first; the blocks have them last
        maps = [value[0].flatten(1).T if first else value[0].flatten(0, 1) for value in self.flow[key]]
        return as_colors(*(self.cut(tokens) for tokens in maps))  # each HW x C


def as_colors(*maps: np.ndarray) -> list[np.ndarray]:
    """Feature maps as colours: how far each pixel is from the mean, along the three axes on which they vary most.

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


def _sight(before: Tensor, after: Tensor, *views: View) -> Sight:
    return Sight(tuple(before.shape), tuple(after.shape), views)


def _encoder(scene: Scene) -> Sight:
    before, after = scene.flow["encoder"]
    [colors] = as_colors(scene.cut(after[0].flatten(1).T))  # C x H x W -> HW x C
    return _sight(
        before,
        after,
        View("The image", "colors", to_array(scene.image)),
        View(f"Its {after.shape[1]} features, as colours", "colors", colors),
    )


def _anchors(scene: Scene) -> Sight:
    features, anchors = scene.flow["anchors"][0], scene.gapl("anchors")
    stride = scene.config.anchor_stride
    [entering] = as_colors(scene.cut(features[0].flatten(0, 1)))
    [colors] = as_colors(scene.cut(anchors[0], stride))
    return _sight(
        features,
        anchors,
        View("Features that enter the block", "colors", entering, marked="anchor"),
        View(f"Anchors, one for {stride} × {stride} pixels", "colors", colors, stride, "anchor"),
    )


def _coarse_map(scene: Scene) -> Sight:
    coarse = scene.gapl("coarse_map")
    row = coarse[0, scene.index(scene.config.anchor_stride)]  # HW
    return _sight(
        scene.gapl("anchors"),
        coarse,
        View("The chosen anchor's row of M coarse", "similarity", scene.cut(row), marked="anchor"),
        View(f"Where it reads: {_RELATIVE}", "share", scene.cut(_times_even(row)), marked="anchor"),
    )


def _times_even(similarities: Tensor) -> Tensor:
    """SoftMax weights as multiples of what an even spread would give; n -> n."""
    return similarities.softmax(0) * len(similarities)


def _anchor_prompts(scene: Scene) -> Sight:
    prompts, previous = scene.gapl("anchor_prompts"), scene.previous_prompts
    stride = scene.config.anchor_stride
    maps = [scene.cut(values[0], stride) for values in (previous, prompts) if values is not None]
    titles = ("Prompts of the block before", "Prompts of this block")[-len(maps) :]
    views = [View(t, "colors", c, stride, "anchor") for t, c in zip(titles, as_colors(*maps), strict=True)]
    return _sight(scene.gapl("coarse_map"), prompts, *views)


def _fine_map(scene: Scene) -> Sight:
    fine = scene.gapl("fine_map")
    row, stride = fine[0, scene.index(1)], scene.config.anchor_stride  # n
    return _sight(
        scene.flow["fine_map"][0],
        fine,
        View("The chosen pixel's row of M fine", "similarity", scene.cut(row, stride), stride, "pixel"),
        View(f"Anchors it attends to: {_RELATIVE}", "share", scene.cut(_times_even(row), stride), stride, "pixel"),
    )


def _prompted(scene: Scene) -> Sight:
    before, after = scene.features("prompted")
    return _sight(
        scene.gapl("fine_map"),
        scene.flow["prompted"][1],
        View("Features before the prompts", "colors", before),
        View("Features with the prompts", "colors", after),
    )


def _plain(scene: Scene) -> Sight:
    return _local(scene, "plain", "global_prompting")


def _coarse(scene: Scene) -> Sight:
    return _local(scene, "coarse", "coarse_prompting", "coarse_category" if scene.config.coarse_prompting else None)


def _fine(scene: Scene) -> Sight:
    category = {"fine": "fine_category", "coarse": "coarse_category", "off": None}[scene.config.fine_prompting]
    return _local(scene, "fine", "fine_prompting", category, shift=scene.config.window_size // 2)


def _local(scene: Scene, key: str, layer: str, category: str | None = None, shift: int = 0) -> Sight:
    """A layer with windows; `layer` is its module, and `category` the tap of the categories it groups by, if any."""
    views = []
    if category is not None:
        labels = scene.gapl(category)[0]  # HW
        title = f"Categories: {labels.unique().numel()} of {scene.gapl('anchors').shape[1]} anchors chosen"
        views.append(View(title, "categories", scene.cut(labels)))
    window = scene.config.window_size
    weights = scene.taps[f"{layer}.window_attention.weights"]
    row = scene.grid.window_row(weights, *scene.focus, shift).mean(0) * window**2  # heads x HW -> HW
    title = "What the pixel reads in its window, times an even share"
    views.append(View(title, "share", scene.cut(row), marked="pixel", window=window, shift=shift))
    views.append(View("Output features", "colors", scene.features(key)[1]))
    return _sight(*scene.flow[key], *views)


def _convolution(scene: Scene) -> Sight:
    before, after = scene.features("convolution")
    return _sight(
        *scene.flow["convolution"],
        View("Features that entered the group", "colors", before),
        View("Output features", "colors", after),
    )


def _fusion(scene: Scene) -> Sight:
    before, after = scene.features("fusion")
    return _sight(
        *scene.flow["fusion"],
        View("Features of the last group", "colors", before),
        View("Deep features", "colors", after),
    )


def _decoder(scene: Scene) -> Sight:
    pitch = 1 / scene.config.scale
    added = (scene.output - upscale(scene.image, scene.config.scale))[0].mean(0).float().cpu().numpy()
    return _sight(
        scene.flow["decoder"][0],
        scene.output,
        View("The image", "colors", to_array(scene.image)),
        View("What it adds to bicubic enlargement", "signed", added, pitch),
        View("The result", "colors", to_array(scene.output), pitch),
    )


VIEWS: dict[str, Callable[[Scene], Sight]] = {
    "encoder": _encoder,
    "anchors": _anchors,
    "coarse_map": _coarse_map,
    "anchor_prompts": _anchor_prompts,
    "fine_map": _fine_map,
    "prompted": _prompted,
    "plain": _plain,
    "coarse": _coarse,
    "fine": _fine,
    "convolution": _convolution,
    "fusion": _fusion,
    "decoder": _decoder,
}
"""How to look at each box, by its key."""
