"""Random aligned crops of LR and HR, flipped and turned, which the number of a training step alone decides."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from promptsr.data.cache import CachedImage
from promptsr.data.texture import CELL, draw_shares

Pair = tuple[Tensor, Tensor]


class Draw(NamedTuple):
    """One crop of a training. Everything random about it follows from the seed and from these numbers."""

    step: int
    place: int
    """Place in the batch of all processes together."""
    patch: int
    """Side in LR pixels."""


class RandomCrops(Dataset[Pair]):
    """Crops from images, more often from where there is texture."""

    def __init__(self, images: Sequence[CachedImage], scale: int, seed: int) -> None:
        self._images = list(images)
        self._scale = scale
        self._seed = seed
        self._cells, self._shares = draw_shares([image.texture for image in images])

    def __getitem__(self, draw: Draw) -> Pair:
        """Return LR, 3 x patch x patch, and HR, 3 x s patch x s patch, both uint8, the same for the same draw."""
        rng = np.random.default_rng((self._seed, draw.step, draw.place))
        index, row, column = self._cells[np.searchsorted(self._shares, rng.random(), side="right")]
        image, s, p = self._images[index], self._scale, draw.patch
        # The crop's middle falls anywhere in the cell, as far as the border of the image allows.
        middle = (np.array([row, column]) + rng.integers(0, CELL, 2)) // s
        y, x = np.clip(middle - p // 2, 0, np.array(image.lr.array.shape[:2]) - p)
        lr = image.lr.array[y : y + p, x : x + p]
        hr = image.hr.array[s * y : s * (y + p), s * x : s * (x + p)]
        turns, flip = int(rng.integers(4)), bool(rng.integers(2))
        return _turned(lr, turns, flip), _turned(hr, turns, flip)


@dataclass(frozen=True)
class Share(Sampler[list[Draw]]):
    """The draws of one process, micro-batch by micro-batch, from a step on.

    The crops of a step do not depend on the number of processes: each takes every n-th of them.
    """

    steps: range
    """Steps to draw for."""
    size_at: Callable[[int], tuple[int, int]]
    """Function from a step to its batch, of all processes together, and its patch."""
    rank: int
    """Number of this process."""
    world: int
    """Number of processes."""
    parts: int
    """Micro-batches of a step."""

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in self.steps:
            batch, patch = self.size_at(step)
            mine = range(self.rank, batch, self.world)
            for part in range(self.parts):
                yield [Draw(step, place, patch) for place in mine[part :: self.parts]]

    def __len__(self) -> int:
        return len(self.steps) * self.parts


def load_crops(crops: RandomCrops, share: Share, workers: int, pin_memory: bool) -> Iterator[Pair]:
    """Return micro-batches of stacked crops, LR and HR, B x 3 x H x W, uint8.

    Args:
        crops: their source.
        share: the crops to load.
        workers: processes that cut them out ahead of time; 0: this process does, when asked.
        pin_memory: for a faster way to a GPU.
    """
    return iter(DataLoader(crops, batch_sampler=share, num_workers=workers, pin_memory=pin_memory))


def _turned(pixels: np.ndarray, turns: int, flip: bool) -> Tensor:
    """Turn H x W x 3 by quarters, mirror it, and return 3 x H x W."""
    turned = np.rot90(pixels, turns)
    if flip:
        turned = turned[:, ::-1]
    return torch.from_numpy(np.ascontiguousarray(turned.transpose(2, 0, 1)))
