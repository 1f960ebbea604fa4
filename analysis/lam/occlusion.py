"""Which squares of the input help a window of the result, and which hurt it? Each is replaced, one after the other.

LAM follows gradients and has no sign for good or bad: here the input itself is changed, and PSNR judges the window.

occlusion = finish(occlude(model, lr, attribution, hr))
occlusion.effects, occlusion.agreement("blurred")
"""

from collections.abc import Generator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from analysis.common.rank_correlation import rank_correlation_of_parts
from analysis.lam.attribution import Attribution
from analysis.lam.blur_path import BlurPath
from analysis.lam.window_effect import DRAWS, Noise, WindowProbe
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import ConfigError
from promptsr.zoo.sr_model import SRModel

SIDE = 8
"""Side of a square by default, in input pixels."""
WAYS = ("blurred", "turned")
"""How a square is replaced: by its part of the blurred image at which the path of LAM starts, or by itself after half a
turn. The turn interchanges each pixel with its mirror image through the middle of the square, so that colours and
contrast of the square stay and only their places change."""


@dataclass(frozen=True)
class Square:
    """A square of the input, smaller at the right and bottom border if the side does not divide the image."""

    x: int
    """Left end, in input pixels, as all of these."""
    y: int
    width: int
    height: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """H x W -> height x width."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def replaced(self, image: Tensor, other: Tensor) -> Tensor:
        """Return a copy of an image with this square of another one, both B x C x H x W."""
        copy, rows, columns = image.clone(), slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)
        copy[..., rows, columns] = other[..., rows, columns]
        return copy


@dataclass(frozen=True, eq=False)
class Occlusion:
    """Effect of each square of an input on a window of a model's result."""

    model: str
    side: int
    """Side of the squares, in input pixels."""
    effects: pd.DataFrame
    """A row per way of `WAYS` and square, in reading order: way; x, y, width and height of the square; change,
    psnr_lost and detector_lost as in `Effect`; lam, the sum of the map over the square, and attribution, that of the
    signed attributions."""
    noise: Noise
    """A square helps or hurts if the PSNR that is lost without it exceeds this, either way."""

    def grid(self, column: str, way: str = WAYS[0]) -> np.ndarray:
        """Return a column as rows x columns of squares."""
        part = self.effects[self.effects["way"] == way]
        values: np.ndarray = part[column].to_numpy().reshape(part["y"].nunique(), -1)  # n -> rows x columns
        return values

    def pixels(self, column: str, way: str = WAYS[0]) -> np.ndarray:
        """Return a column as H x W, each pixel with the value of its square."""
        height, width = (self.effects[at] + self.effects[length] for at, length in (("y", "height"), ("x", "width")))
        large = self.grid(column, way).repeat(self.side, axis=0).repeat(self.side, axis=1)
        return large[: height.max(), : width.max()]

    def agreement(self, way: str) -> float:
        """Return the rank correlation of the map's sums with the change of the window, over the squares with either.

        NaN where fewer than three squares have a part in the window.
        """
        return rank_correlation_of_parts(self.grid("lam", way), self.grid("change", way))

    def signed_agreement(self, way: str) -> float:
        """Return the same for the sums of the signed attributions and the signed change of the detector."""
        return rank_correlation_of_parts(self.grid("attribution", way), self.grid("detector_lost", way))

    def summary(self, way: str) -> dict[str, Any]:
        """Return what a table says of a way: squares that help and hurt, the extremes, noise, agreement.

        Squares within the noise do not count. The numbers on PSNR are NaN or None without HR image.
        """
        lost = self.grid("psnr_lost", way)
        signed = not np.isnan(lost).any()
        return {
            "squares": lost.size,
            "changing": int(np.count_nonzero(self.grid("change", way) > self.noise.change)),
            "helping": int(np.count_nonzero(lost > self.noise.psnr)) if signed else None,
            "hurting": int(np.count_nonzero(lost < -self.noise.psnr)) if signed else None,
            "largest_help": float(lost.max()),
            "largest_harm": float(lost.min()),
            "noise": self.noise.psnr,
            "agreement": self.agreement(way),
            "signed_agreement": self.signed_agreement(way),
        }


def squares(height: int, width: int, side: int) -> list[Square]:
    """Cut an image of this size into squares without overlap, in reading order.

    Raises:
        ConfigError: an impossible side.
    """
    if not 1 <= side <= max(height, width):
        raise ConfigError(f"The side of a square must be 1 to {max(height, width)} input pixels, not {side}.")
    return [
        Square(x, y, min(side, width - x), min(side, height - y))
        for y in range(0, height, side)
        for x in range(0, width, side)
    ]


def turned(image: Tensor, side: int) -> Tensor:
    """Return an image, B x C x H x W, with each of its squares turned by 180 degrees in its place."""

    def mirrored(length: int) -> Tensor:
        place = torch.arange(length)
        first = place // side * side  # of the square
        return first + (first + side).clamp(max=length) - 1 - place

    height, width = image.shape[2:]
    return image[:, :, mirrored(height).to(image.device)][..., mirrored(width).to(image.device)]


def occlude(
    model: SRModel, lr: Tensor, attribution: Attribution, hr: Tensor | None = None, *, side: int = SIDE
) -> Generator[Progress, None, Occlusion]:
    """Replace the squares of an input one by one, in both ways of `WAYS`; closing the generator stops the work.

    Args:
        model: with gradients.
        lr: the input of the map, 1 x 3 x H x W in [0, 1].
        attribution: the map of the window.
        hr: 1 x 3 x sH x sW in [0, 1], for the PSNR of the window.
        side: of a square, in input pixels.

    Yields:
        Passes that are done.

    Raises:
        ConfigError: an impossible side.
        UserError: the model gives no gradients.
    """
    height, width = lr.shape[2:]
    parts = squares(height, width, side)
    others = dict(zip(WAYS, (BlurPath(lr, attribution.settings).points([0]), turned(lr, side)), strict=True))
    probe = WindowProbe(model, lr, attribution.region, hr)
    signed = attribution.values.sum(axis=0)  # 3 x H x W -> H x W
    jobs = [(way, square) for way in WAYS for square in parts]
    moves, rows = [], []
    for effect in probe.moved_effects():
        moves.append(effect)
        yield Progress(len(moves), DRAWS + len(jobs))
    # captum's FeatureAblation finds the same (a test compares them), but all at once: this loop can be stopped, and
    # says how far it is. One by one, because the rounding of a batch would flip categories.
    for done, (way, square) in enumerate(jobs, start=DRAWS + 1):
        with torch.no_grad():
            output = model(square.replaced(lr, others[way]))
        sums = {"lam": float(square.cut(attribution.map).sum()), "attribution": float(square.cut(signed).sum())}
        rows.append({"way": way, **asdict(square), **asdict(probe.effect(output)), **sums})
        yield Progress(done, DRAWS + len(jobs))
    return Occlusion(attribution.model, side, pd.DataFrame(rows), Noise.of(moves))
