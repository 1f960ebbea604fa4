"""Run images through a network tile by tile: cut, blend, and smaller tiles when memory runs out."""

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from promptsr.support.errors import UserError
from promptsr.support.spans import Span, spans
from promptsr.zoo.memory import enough_for_result, is_out_of_memory, return_freed_memory
from promptsr.zoo.sr_model import SRModel

_LEAST = 32
"""Side of the smallest tiles that are tried when memory runs out, in input pixels. Those that share 16 pixels cost four
times the arithmetic of a whole image already; smaller ones would cost more and look worse."""


@dataclass(frozen=True)
class Progress:
    """Number of finished tiles and of all; a varying alpha channel doubles it, and it grows when memory runs out."""

    done: int
    total: int


Read = Callable[[slice, slice], Tensor]
"""Returns the input pixels of these rows and columns, 1 x 3 x h x w."""
Write = Callable[[slice, slice, Tensor], None]
"""Takes the finished pixels of these rows and columns of the output, 3 x h x w, which are overwritten afterwards."""


@dataclass
class TiledRun:
    """One pass over one or more images of one size."""

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
    peak: float = field(default=0, init=False)
    """Largest absolute value that the model gave."""

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the largest tile in input pixels."""
        height, width = self.model.max_tile
        return min(self.limit, height), min(self.limit, width)

    def upscale(self, height: int, width: int, images: Sequence[tuple[Read, Write]]) -> Generator[Progress, None, None]:
        """Upscale one image after the other, yielding after every tile.

        Of the output only one row of tiles is kept; pixels that no later tile reaches are written at once.

        Args:
            height: of the input; `width` likewise.

        Raises:
            UserError: memory does not suffice for the smallest tiles, or for a row of tiles.
        """
        rows, columns = self._cut(height, width)
        self.total += len(images) * len(rows) * len(columns)
        for read, write in images:
            output = self._blank(rows[0].low.stop, width)  # all rows have the same size
            inside = slice(0, output.shape[1])
            for row, below in itertools.zip_longest(rows, rows[1:]):
                lines = _finished(row, below)
                finished = lines.stop - lines.start
                for column, beside in itertools.zip_longest(columns, columns[1:]):
                    yield from self._fill(output, read, [replace(row, high=inside)], [column])
                    across = _finished(column, beside)
                    with enough_for_result():
                        write(lines, across, output[:, :finished, across])
                with enough_for_result():
                    for channel in output:
                        channel[:-finished] = channel[finished:].clone()
                    output[:, -finished:] = 0

    def _fill(
        self, output: Tensor, read: Read, rows: Iterable[Span], columns: Iterable[Span]
    ) -> Generator[Progress, None, None]:
        """Add upscaled tiles to an output, 3 x sh x sw, row by row."""
        for row, column in itertools.product(rows, columns):
            tile = yield from self._upscale(read(row.low, column.low))
            with enough_for_result():
                output[:, row.high, column.high].addcmul_(tile, row.weight[:, None] * column.weight)

    def _upscale(self, tile: Tensor) -> Generator[Progress, None, Tensor]:
        """1 x 3 x h x w -> 3 x sh x sw, by way of smaller tiles if it is beyond the limit or memory runs out.

        The result is that of one tile all the same: its neighbours, finished or not, and their blend stay as they are.
        """
        height, width = tile.shape[2:]
        rows, columns = self.sides
        if height <= rows and width <= columns and (result := self._try(tile)) is not None:
            self.done += 1
            low, high = result.aminmax()  # without a copy as large as the result
            self.peak = max(self.peak, -low.item(), high.item())
            yield Progress(self.done, self.total)
            return result
        tiles = self._cut(height, width)
        self.total += math.prod(map(len, tiles)) - 1
        output = self._blank(height, width)
        yield from self._fill(output, lambda rows, columns: tile[:, :, rows, columns], *tiles)
        return output

    def _blank(self, height: int, width: int) -> Tensor:
        """3 x sh x sw of zeros."""
        with enough_for_result():
            return torch.zeros(3, self.model.scale * height, self.model.scale * width)

    def _cut(self, height: int, width: int) -> tuple[list[Span], list[Span]]:
        """Rows and columns of tiles within the limit."""
        rows, columns = self.sides
        scale = self.model.scale
        return spans(height, rows, self.overlap, scale), spans(width, columns, self.overlap, scale)

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


def _finished(span: Span, following: Span | None) -> slice:
    """Return the output pixels of a span that no later one reaches."""
    return span.high if following is None else slice(span.high.start, following.high.start)
