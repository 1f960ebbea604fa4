"""Upscale whole pictures with a model: tiles, alpha, grey, depth, progress and cancellation."""

import math
import time
from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from promptsr.imaging.picture import Picture, to_pixels, to_unit
from promptsr.inference import lanczos
from promptsr.inference.fallbacks import SafeForward
from promptsr.inference.sizes import NO_WISH, Size
from promptsr.inference.tiling import Progress, Read, TiledRun, Write
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.large_arrays import LARGE, array_bytes, check_disk, empty_array, release
from promptsr.support.progress import finish
from promptsr.support.spans import tile_starts
from promptsr.zoo.memory import enough_for_result
from promptsr.zoo.sr_model import SRModel, find_device

__all__ = ["MEMORY_BUDGET", "Estimate", "Progress", "UpscaleResult", "Upscaler"]

MEMORY_BUDGET = 2**28
"""Default working memory of one forward pass in bytes. Small on purpose: the network attends to all of a tile at once,
so the time for each pixel grows with the tile."""
_RELUCTANCE = 8
"""Multiple of the memory budget that a model which discourages tiles may use before it gets them after all."""
_ROOM = 2
"""Copies in float32 that must fit of the result of a row of tiles: itself, and its pixels (a quarter or half of it), or
the lines that it shares with the next row."""
_ASTRAY = 3
"""Absolute value that networks do not reach in images that they know, where overshoots end at 1.5."""
_FILLING = 40
"""Bytes for each pixel of the input while transparent ones are filled."""


@dataclass(frozen=True)
class Estimate:
    """Cost of upscaling one picture."""

    height: int
    """Pixels of the result; `width` likewise."""
    width: int
    passes: int
    """Forward passes of the network; more if memory runs out."""
    memory: int
    """Bytes at the peak, besides the model and the picture."""
    disk: int
    """Bytes of temporary files; 0 if the result stays in memory."""

    @property
    def pixels(self) -> int:
        """Pixels of the result."""
        return self.height * self.width


@dataclass(frozen=True)
class UpscaleResult:
    """An upscaled picture and how it was made."""

    picture: Picture
    """Its arrays are `np.memmap` of temporary files where they are large, see `empty_array`."""
    tile: int | None
    """Side of the smallest tiles in input pixels; None if the image went through whole."""
    tiles: int
    """Forward passes of the network."""
    seconds: float
    note: str | None = None
    """Message for the user, if memory ran out, a device or precision failed (for this image or one before), or the
    network's values were far outside of [0, 1]."""


class Upscaler:
    """Upscale pictures of any size with one model.

    Args:
        model: any model, on the CPU.
        tile: side of the square tiles in input pixels, at least `model.min_tile`; "whole" for no tiles; "auto" for no
            tiles if the image fits the memory budget, else the largest multiple of `model.min_tile` that fits it
            (never less than one). A model that discourages tiling gets eight times the budget, and one that tiles
            internally always goes through whole. "auto" depends on the image size, the model and the budget alone, so
            the same input gives the same tiles on every machine. In any case, a tile that does not fit into memory is
            cut into tiles of half its side, and so are all that follow, see `UpscaleResult.note`.
        overlap: input pixels that neighbouring tiles share, see `promptsr.inference.tiling.spans`.
        memory_budget: bytes that one forward pass may use, as `model.working_memory` says.
        device: "cpu", "cuda", "cuda:1", ...; if it fails, the CPU takes over.
        max_output_pixels: larger results are refused before any work is done. None: memory and disk decide.
        half: let PyTorch compute in float16 where that is customary (`torch.autocast`): faster and smaller on a GPU;
            where it gives values that are not finite, full precision takes over.
        size: of results; the network enlarges by its scale, once, and the Lanczos filter does the rest.

    Raises:
        UserError: an impossible setting, float16 for a model that is not known to bear it, or a device that this
            machine does not have.
    """

    def __init__(
        self,
        model: SRModel,
        *,
        tile: str | int = "auto",
        overlap: int = 16,
        memory_budget: int = MEMORY_BUDGET,
        device: str = "cpu",
        max_output_pixels: int | None = None,
        half: bool = False,
        size: Size = NO_WISH,
    ) -> None:
        if isinstance(tile, str) and tile not in ("auto", "whole"):
            raise ConfigError(f'The tile size must be "auto", "whole" or a number of pixels, not "{tile}".')
        if isinstance(tile, int) and tile < model.min_tile:
            raise ConfigError(f"Tiles of {tile} pixels are too small for {model.name}: use {model.min_tile} or more.")
        if overlap < 0:
            raise ConfigError(f"The overlap of the tiles must be 0 or more pixels, not {overlap}.")
        if half and not model.half_precision:
            raise ConfigError(f"{model.name} is not known to be safe in half precision: use full precision.")
        self._model = model
        self._forward = SafeForward(model, find_device(device), half)
        self._tile = tile
        self._overlap = overlap
        self._memory_budget = memory_budget
        self._max_output_pixels = max_output_pixels
        self._size = size

    def __call__(self, picture: Picture) -> UpscaleResult:
        """Upscale a picture without progress; see `stream`."""
        return finish(self.stream(picture))

    def stream(self, picture: Picture, into: Picture | None = None) -> Generator[Progress, None, UpscaleResult]:
        """Upscale a picture, yielding after every tile; closing the generator stops the work there.

        The result keeps depth, greyness and metadata. Under fully transparent pixels the network sees the colour of
        the nearest other pixel, which avoids dark edges. Alpha is upscaled by the same network as a grey image, unless
        it is constant. Grey results are the mean of the network's three channels.

        Memory holds one row of tiles in float32; finished pixels are rounded at once. After the last tile, the same
        progress is yielded again and again while the result is resized.

        Args:
            picture: of any size.
            into: receives the pixels of the network's result as they are finished, to be looked at meanwhile: of that
                size, and of the kind of `picture`. Default: a new one.

        Raises:
            UserError: the result would be too large, the network's output is not finite, or memory does not suffice
                for the smallest tiles.
        """
        begun = time.perf_counter()
        height, width, scale = picture.height, picture.width, self._model.scale
        expected = self.estimate(height, width, bit_depth=picture.bit_depth, alpha=picture.alpha is not None)
        upscaled = into or _blank(picture, scale * height, scale * width)
        resized = (expected.height, expected.width) != (upscaled.height, upscaled.width)
        result = _blank(picture, expected.height, expected.width) if resized else upscaled
        run = self._run(height, width)
        images = [_color_of(_fill_transparent(picture), upscaled.color)]
        if picture.alpha is not None and upscaled.alpha is not None and (picture.alpha != picture.alpha[0, 0]).any():
            images.append(_alpha_of(picture.alpha, upscaled.alpha))
        yield from run.upscale(height, width, images)
        if resized:
            for _ in lanczos.resize(upscaled, result):
                yield Progress(run.done, run.total)
        tile = max(run.sides) if run.sides[0] < height or run.sides[1] < width else None
        notes = list(self._forward.notes)
        if run.too_large is not None:
            notes.append(
                f"Memory ran out at a side of {run.too_large} pixels, so the rest went through in tiles of {tile}; "
                "what was finished by then was kept."
            )
        if run.peak > _ASTRAY:
            notes.append(
                f"{self._model.name} gave values of up to {run.peak:,.0f}, where images have 0 to 1, so it has not "
                "learned images such as this one, and parts of the result may be noise: compare another model."
            )
        return UpscaleResult(result, tile, run.done, time.perf_counter() - begun, " ".join(notes) or None)

    def upscale_tensor(self, images: Tensor) -> Generator[Progress, None, Tensor]:
        """Upscale a bare tensor, one image and one tile at a time; see `stream`.

        Args:
            images: B x 3 x H x W float32 in [0, 1], on the CPU.

        Returns:
            B x 3 x sH x sW float32 on the CPU, as the network gave it (not clamped).

        Raises:
            UserError: as `stream`.
        """
        batch, _, height, width = images.shape
        scale = self._model.scale
        self._check_pixels(scale * height, scale * width)
        size = (batch, 3, scale * height, scale * width)
        with enough_for_result(array_bytes(size, np.float32)):
            outputs = torch.empty(size)

        def image(index: int) -> tuple[Read, Write]:
            def write(rows: slice, columns: slice, values: Tensor) -> None:
                outputs[index, :, rows, columns] = values

            return lambda rows, columns: images[index : index + 1, :, rows, columns], write

        yield from self._run(height, width).upscale(height, width, [image(index) for index in range(batch)])
        return outputs

    def estimate(self, height: int, width: int, *, bit_depth: int = 8, alpha: bool = False) -> Estimate:
        """Estimate what upscaling a picture of this size takes, without any work.

        Args:
            alpha: assume an alpha channel that varies, which takes as many passes again.

        Raises:
            UserError: the limit of pixels, memory or disk does not suffice; the message says how much is needed.
        """
        scale = self._model.scale
        sizes = list(dict.fromkeys([(scale * height, scale * width), self._size.of(height, width, scale)]))
        for size in sizes:
            self._check_pixels(*size)
        arrays = [
            array_bytes((*size, channels), f"uint{bit_depth}")
            for size in sizes
            for channels in ((3, 1) if alpha else (3,))
        ]
        disk = sum(size for size in arrays if size > LARGE)
        if disk:
            check_disk(disk)
        sides = self._run(height, width).sides
        rows, columns = min(sides[0], height), min(sides[1], width)
        lines = _ROOM * array_bytes((3, scale * rows, scale * width), np.float32)
        kept = sum(arrays) - disk
        with enough_for_result(lines + kept):
            torch.empty(lines, dtype=torch.uint8)
        working = [self._model.working_memory(rows, columns) + lines]
        if len(sizes) > 1:
            working.append(lanczos.WORKING_MEMORY)
        if alpha:
            working.append(_FILLING * height * width)
        tiles = math.prod(len(tile_starts(*axis, self._overlap)) for axis in ((height, rows), (width, columns)))
        return Estimate(*sizes[-1], tiles * (1 + alpha), max(working) + kept, disk)

    def tile_for(self, height: int, width: int) -> int | None:
        """Return the side of the tiles for an image of this size; None if it goes through whole."""
        model = self._model
        if self._tile == "whole" or (self._tile == "auto" and model.tiling == "internal"):
            return None
        if isinstance(self._tile, int):
            side = self._tile
        else:
            budget = self._memory_budget * (_RELUCTANCE if model.tiling == "discouraged" else 1)
            if model.working_memory(height, width) <= budget:
                return None
            sides = range(model.min_tile, max(height, width) + model.min_tile, model.min_tile)
            fitting = bisect_right(sides, budget, key=lambda side: model.working_memory(side, side))
            side = sides[max(fitting, 1) - 1]
        return None if side >= max(height, width) else side

    def _check_pixels(self, height: int, width: int) -> None:
        """Refuse results beyond the limit of pixels."""
        pixels, most = height * width, self._max_output_pixels
        if most is not None and pixels > most:
            raise UserError(
                f"The result would have {width} x {height} pixels ({pixels / 1e6:.1f} megapixels), more than the limit "
                f"of {most / 1e6:.1f} megapixels; crop the image or use a smaller scale."
            )

    def _run(self, height: int, width: int) -> TiledRun:
        """Prepare a run over images of this size."""
        limit = self.tile_for(height, width) or max(height, width)
        return TiledRun(self._model, self._forward, self._overlap, limit)


def _blank(picture: Picture, height: int, width: int) -> Picture:
    """Make a picture of another size whose pixels are not set yet, but for an alpha that is constant."""
    color, alpha = empty_array((height, width, 3), picture.color.dtype), None
    if picture.alpha is not None:
        alpha = empty_array((height, width), picture.alpha.dtype)
        alpha[:] = picture.alpha[0, 0]
        release(alpha)
    return replace(picture, color=color, alpha=alpha)


def _fill_transparent(picture: Picture) -> Picture:
    """Replace the colours under fully transparent pixels by that of the nearest other pixel."""
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture
    from scipy import ndimage

    rows, columns = ndimage.distance_transform_edt(picture.alpha == 0, return_distances=False, return_indices=True)
    return replace(picture, color=picture.color[rows, columns])


def _color_of(picture: Picture, target: np.ndarray) -> tuple[Read, Write]:
    """Read tiles of the colours of a picture, and write those of its result, sH x sW x 3."""

    def read(rows: slice, columns: slice) -> Tensor:
        return to_unit(picture.color[rows, columns]).permute(2, 0, 1)[None].contiguous()  # h x w x 3 -> 1 x 3 x h x w

    def write(rows: slice, columns: slice, values: Tensor) -> None:
        if picture.grey:
            values = values.mean(0).expand_as(values)
        target[rows, columns] = to_pixels(values.permute(1, 2, 0), picture.bit_depth)  # 3 x h x w -> h x w x 3
        release(target)

    return read, write


def _alpha_of(alpha: np.ndarray, target: np.ndarray) -> tuple[Read, Write]:
    """Read tiles of alpha, H x W, as grey images, and write the mean of the channels of its result, sH x sW."""

    def read(rows: slice, columns: slice) -> Tensor:
        return to_unit(alpha[rows, columns]).expand(1, 3, -1, -1).contiguous()  # h x w -> 1 x 3 x h x w

    def write(rows: slice, columns: slice, values: Tensor) -> None:
        target[rows, columns] = to_pixels(values.mean(0), 8 * alpha.itemsize)  # 3 x h x w -> h x w
        release(target)

    return read, write
