"""Run images through a network tile by tile: cut, blend, and smaller tiles when memory runs out."""

import itertools
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from promptsr.support.errors import UserError
from promptsr.zoo.memory import enough_for_result, is_out_of_memory, return_freed_memory
from promptsr.zoo.sr_model import SRModel

_LEAST = 32
"""Side of the smallest tiles that are tried when memory runs out, in input pixels. Those that share 16 pixels cost four
times the arithmetic of a whole image already; smaller ones would cost more and look worse."""


@dataclass(frozen=True)
class Span:
    """Extent of one tile along one axis."""

    low: slice
    """Pixels of the input."""
    high: slice
    """Pixels of the output."""
    weight: Tensor
    """float32 in [0, 1], one value per output pixel of the tile. At every output pixel the spans' weights sum to 1."""


def spans(length: int, tile: int, overlap: int, scale: int) -> list[Span]:
    """Cut one axis into the fewest spans of equal size that overlap by at least `overlap` pixels.

    The last one is shifted inward to end with the image. Where two neighbours overlap, the weight of the later one
    rises from 0 to 1 as a straight line. The line leaves out a quarter of `overlap` at either end, where one of the
    two knows too little of what lies beyond its edge: those pixels come from the other tile alone.

    Args:
        length: input pixels along the axis; if `tile` is no smaller, there is a single span.
        overlap: input pixels; no more than half a tile is used.
    """
    size = min(tile, length)
    overlap = min(overlap, size // 2)
    margin = overlap // 4
    starts = [min(start, length - size) for start in range(0, length - overlap, size - overlap)]

    centers = torch.arange(scale * length, dtype=torch.float64) + 0.5
    uncovered = torch.ones_like(centers)  # weight that the later spans leave to the earlier ones
    result = []
    for previous, start in reversed(list(zip([None, *starts], starts, strict=False))):
        rise = torch.ones_like(centers)
        if previous is not None:
            low, high = scale * (start + margin), scale * (previous + size - margin)
            rise = ((centers - low) / (high - low)).clamp(0, 1)  # a step if low == high: no center lies on it
        covered = slice(scale * start, scale * (start + size))
        result.append(Span(slice(start, start + size), covered, (uncovered * rise)[covered].float()))
        uncovered = uncovered * (1 - rise)
    return result[::-1]


@dataclass(frozen=True)
class Progress:
    """Number of finished tiles and of all; a varying alpha channel doubles it, and it grows when memory runs out."""

    done: int
    total: int


@dataclass
class TiledRun:
    """One pass over one or more images."""

    model: SRModel
    forward: Callable[[Tensor], Tensor]
    """Runs the model: 1 x 3 x h x w -> 3 x sh x sw. May raise anything that `is_out_of_memory` knows."""
    overlap: int
    """Input pixels that neighbouring tiles share."""
    limit: int
    """Side of the largest tile in input pixels; lowered, to multiples of `model.min_tile`, when memory runs out."""
    done: int = field(default=0, init=False)
    """Finished forward passes."""
    total: int = field(default=0, init=False)
    """All forward passes, as far as is known."""
    too_large: int | None = field(default=None, init=False)
    """Longer side of the first tile that did not fit into memory, in input pixels; None if all did."""

    def upscale(self, images: Tensor) -> Generator[Progress, None, Tensor]:
        """Upscale one image after the other, yielding after every tile.

        Args:
            images: B x 3 x H x W.

        Returns:
            B x 3 x sH x sW.

        Raises:
            UserError: memory does not suffice for the smallest tiles, or for the result.
        """
        batch, _, height, width = images.shape
        tiles = self._cut(height, width)
        self.total += batch * len(tiles)
        outputs = self._blank(batch, height, width)
        for image, output in zip(images.split(1), outputs, strict=True):
            yield from self._fill(output, image, tiles)
        return outputs

    def _fill(self, output: Tensor, image: Tensor, tiles: list[tuple[Span, Span]]) -> Generator[Progress, None, None]:
        """Add the upscaled tiles of 1 x 3 x h x w to 3 x sh x sw of zeros."""
        for rows, columns in tiles:
            tile = yield from self._upscale(image[:, :, rows.low, columns.low])
            with enough_for_result():
                output[:, rows.high, columns.high].addcmul_(tile, rows.weight[:, None] * columns.weight)

    def _upscale(self, tile: Tensor) -> Generator[Progress, None, Tensor]:
        """1 x 3 x h x w -> 3 x sh x sw, by way of smaller tiles if it is beyond the limit or memory runs out.

        The result is that of one tile all the same: its neighbours, finished or not, and their blend stay as they are.
        """
        height, width = tile.shape[2:]
        if max(height, width) <= self.limit and (result := self._try(tile)) is not None:
            self.done += 1
            yield Progress(self.done, self.total)
            return result
        tiles = self._cut(height, width)
        self.total += len(tiles) - 1
        [output] = self._blank(1, height, width)
        yield from self._fill(output, tile, tiles)
        return output

    def _blank(self, batch: int, height: int, width: int) -> Tensor:
        """B x 3 x sh x sw of zeros."""
        with enough_for_result():
            return torch.zeros(batch, 3, self.model.scale * height, self.model.scale * width)

    def _cut(self, height: int, width: int) -> list[tuple[Span, Span]]:
        """Rows and columns of tiles within the limit, in reading order."""
        rows, columns = (spans(length, self.limit, self.overlap, self.model.scale) for length in (height, width))
        return list(itertools.product(rows, columns))

    def _try(self, tile: Tensor) -> Tensor | None:
        """1 x 3 x h x w -> 3 x sh x sw; None if memory ran out, which lowers the limit.

        Raises:
            UserError: memory ran out, and there are no smaller tiles.
        """
        side, step = max(tile.shape[2:]), self.model.min_tile
        smaller = max(side // 2 // step, math.ceil(_LEAST / step)) * step
        try:
            return self.forward(tile)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if smaller >= side:
                raise UserError(
                    f"There is not enough memory for {self.model.name} even in tiles of {side} pixels: close other "
                    "programs, or choose a smaller model or another device."
                ) from error
        return_freed_memory()  # the exception is gone by now, and with it all that the failed pass held
        self.too_large = self.too_large or side
        self.limit = smaller
        return None
