"""Anchor prompts of many images as points: how an image becomes one, or several."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from promptsr.support.errors import ConfigError

if TYPE_CHECKING:
    from analysis.anchors.collect import CollectedPrompts

Way = Literal["mean", "flattened", "anchors"]
LIMIT = 5000
"""Points of single anchors, by default."""


@dataclass(frozen=True, eq=False)
class Points:
    """Anchor prompts as points: for every residual group the same N points."""

    features: np.ndarray
    """groups x N x F, float32, not standardised."""
    images: np.ndarray
    """The image of each point, N indices into `files`."""
    categories: np.ndarray
    """The category of that image, N indices into `names`."""
    names: tuple[str, ...]
    files: tuple[str, ...]
    """Relative to the folder of the images."""


def check_way(way: str) -> None:
    """Raise a ConfigError unless `way` is one of `Way`."""
    if way not in get_args(Way):
        raise ConfigError(f"An image becomes points by {', '.join(get_args(Way))}, not by {way!r}.")


def make_points(
    collected: "CollectedPrompts", variant: str, way: str = "mean", *, limit: int = LIMIT, seed: int = 0
) -> Points:
    """Return the prompts of one variant as points; images that were skipped have none.

    Args:
        collected: of many images.
        variant: a key of `collected.prompts`.
        way: how an image becomes points. "mean": its mean over all anchors, F = C. "flattened": its n x C values in a
            row, F = nC. "anchors": every anchor is a point, F = C.
        limit: with "anchors", how many points to draw: the same number from every image, at least 1.
        seed: of that draw, together with the image; groups and variants get the same anchors.

    Raises:
        ConfigError: an unknown way, or images of several sizes, flattened.
    """
    check_way(way)
    prompts, used = collected.prompts[variant], collected.used
    if way == "flattened":
        _check_equal(prompts.grids[used], [collected.images.files[i] for i in used])
    blocks = []  # m points x groups x F of each image
    for image in used:
        rows = prompts.of_image(int(image))  # n x groups x C
        if way == "mean":
            block = rows.mean(0, dtype=np.float64)[None]
        elif way == "flattened":
            block = rows.transpose(1, 0, 2).reshape(1, rows.shape[1], -1)  # n x groups x C -> 1 x groups x nC
        else:
            count = min(len(rows), max(1, limit // len(used)))
            block = rows[np.sort(np.random.default_rng([seed, int(image)]).choice(len(rows), count, replace=False))]
        blocks.append(block.astype(np.float32))
    images = np.repeat(np.arange(len(used)), [len(block) for block in blocks])
    return Points(
        np.ascontiguousarray(np.concatenate(blocks).transpose(1, 0, 2)),  # N x groups x F -> groups x N x F
        images,
        np.array(collected.images.categories)[used][images],
        collected.images.names,
        tuple(collected.images.files[i] for i in used),
    )


def _check_equal(grids: np.ndarray, files: list[str]) -> None:
    """Raise a ConfigError unless all images have the same grid: H/d and W/d."""
    for file, (height, width) in zip(files, grids, strict=True):
        if (height, width) != tuple(grids[0]):
            raise ConfigError(
                f"{files[0]} has {grids[0][1]} x {grids[0][0]} anchors and {file} {width} x {height}: flattened images "
                "must have one size; choose mean, or crop the images."
            )
