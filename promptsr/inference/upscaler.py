"""Upscale whole pictures with a model: tiles, alpha, grey, depth, progress and cancellation."""

import time
from bisect import bisect_right
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from promptsr.imaging.picture import Picture, to_pixels, to_unit
from promptsr.inference.fallbacks import SafeForward
from promptsr.inference.tiling import Progress, TiledRun
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish
from promptsr.zoo.memory import enough_for_result
from promptsr.zoo.sr_model import SRModel, find_device

__all__ = ["MAX_OUTPUT_PIXELS", "MEMORY_BUDGET", "Progress", "UpscaleResult", "Upscaler"]

MEMORY_BUDGET = 2**28
"""Default working memory of one forward pass in bytes. Small on purpose: the network attends to all of a tile at once,
so the time for each pixel grows with the tile."""
_RELUCTANCE = 8
"""Multiple of the memory budget that a model which discourages tiles may use before it gets them after all."""
_ROOM = 2
"""Copies of the result in float32 that must fit: the result, its pixels (a quarter or half of it) and the working
memory."""
MAX_OUTPUT_PIXELS = 256 * 2**20
"""Default cap on the pixels of a result, 16384 x 16384."""


@dataclass(frozen=True)
class UpscaleResult:
    """An upscaled picture and how it was made."""

    picture: Picture
    tile: int | None
    """Side of the smallest tiles in input pixels; None if the image went through whole."""
    tiles: int
    """Forward passes of the network."""
    seconds: float
    note: str | None = None
    """Message for the user, if memory ran out, or a device or precision failed (for this image or one before)."""


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
        max_output_pixels: larger results are refused before any work is done.
        half: let PyTorch compute in float16 where that is customary (`torch.autocast`): faster and smaller on a GPU;
            where it gives values that are not finite, full precision takes over.

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
        max_output_pixels: int = MAX_OUTPUT_PIXELS,
        half: bool = False,
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

    def __call__(self, picture: Picture) -> UpscaleResult:
        """Upscale a picture without progress; see `stream`."""
        return finish(self.stream(picture))

    def stream(self, picture: Picture) -> Generator[Progress, None, UpscaleResult]:
        """Upscale a picture, yielding after every tile; closing the generator stops the work there.

        The result keeps depth, greyness and metadata. Under fully transparent pixels the network sees the colour of
        the nearest other pixel, which avoids dark edges. Alpha is upscaled by the same network as a grey image, unless
        it is constant. Grey results are the mean of the network's three channels.

        Raises:
            UserError: the result would be too large, the network's output is not finite, or memory does not suffice
                for the smallest tiles or for the result.
        """
        begun = time.perf_counter()
        images = _fill_transparent(picture).to_tensor()  # 1 x 3 x H x W
        if picture.alpha is not None and not (picture.alpha == picture.alpha[0, 0]).all():
            images = torch.cat([images, to_unit(picture.alpha).expand(1, 3, -1, -1)])  # H x W -> 2 x 3 x H x W
        run = self._run(images)
        with enough_for_result():  # checked before the work rather than after it
            torch.empty(_ROOM * images.numel() * self._model.scale**2)
        outputs = yield from run.upscale(images)
        with enough_for_result():
            result = _assemble(picture, outputs)
        tile = run.limit if run.limit < max(picture.height, picture.width) else None
        notes = list(self._forward.notes)
        if run.too_large is not None:
            notes.append(
                f"Memory ran out at a side of {run.too_large} pixels, so the rest went through in tiles of {tile}; "
                "what was finished by then was kept."
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
        return (yield from self._run(images).upscale(images))

    def tile_for(self, height: int, width: int) -> int | None:
        """Return the side of the tiles for an image of this size; None if it goes through whole.

        Raises:
            UserError: the result would be too large.
        """
        scale = self._model.scale
        pixels = height * width * scale**2
        if pixels > self._max_output_pixels:
            raise UserError(
                f"The result would have {scale * width} x {scale * height} pixels ({pixels / 1e6:.1f} megapixels), "
                f"more than the limit of {self._max_output_pixels / 1e6:.1f} megapixels; "
                "crop the image or use a smaller scale."
            )
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

    def _run(self, images: Tensor) -> TiledRun:
        """Prepare a run over B x 3 x H x W."""
        height, width = images.shape[2:]
        limit = self.tile_for(height, width) or max(height, width)
        return TiledRun(self._model, self._forward, self._overlap, limit)


def _fill_transparent(picture: Picture) -> Picture:
    """Replace the colours under fully transparent pixels by that of the nearest other pixel."""
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture
    from scipy import ndimage

    rows, columns = ndimage.distance_transform_edt(picture.alpha == 0, return_distances=False, return_indices=True)
    return replace(picture, color=picture.color[rows, columns])


def _assemble(picture: Picture, outputs: Tensor) -> Picture:
    """Make the upscaled picture from outputs: its colour, and its alpha if that varies, 1 or 2 x 3 x sH x sW."""
    if picture.grey:
        outputs[0] = outputs[0].mean(0)
    color = to_pixels(outputs[0].permute(1, 2, 0), picture.bit_depth)  # 3 x sH x sW -> sH x sW x 3
    alpha = picture.alpha
    if alpha is not None:
        alpha = (
            np.full(color.shape[:2], alpha[0, 0])
            if len(outputs) == 1
            else to_pixels(outputs[1].mean(0), picture.bit_depth)  # 3 x sH x sW -> sH x sW
        )
    return Picture(color, alpha, picture.grey, picture.metadata)
