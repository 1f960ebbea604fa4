"""Upscaling whole pictures with a network: tiles, alpha, grey, depth, progress and cancellation."""

import itertools
import math
import time
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from promptsr.errors import ConfigError, UserError
from promptsr.generators import finish
from promptsr.imaging.picture import Picture, to_pixels, to_unit
from promptsr.sr_model import SRModel
from promptsr.tiling import Span, spans

MEMORY_BUDGET = 2**28
"""Default working memory of one forward pass in bytes. Small on purpose: the network attends to all of a tile at once,
so the time for each pixel grows with the tile."""
_RELUCTANCE = 8
"""How many times the memory budget an image may need before a model that discourages tiles gets them after all."""
MAX_OUTPUT_PIXELS = 256 * 2**20
"""Default cap on the pixels of a result, 16384 x 16384."""


@dataclass(frozen=True)
class Progress:
    """How many tiles are finished, of how many. A picture with a varying alpha channel is gone through twice."""

    done: int
    total: int


@dataclass(frozen=True)
class UpscaleResult:
    """An upscaled picture and how it was made."""

    picture: Picture
    tile: int | None
    """Side of the tiles in input pixels; None if the image went through whole."""
    tiles: int
    """Forward passes of the network."""
    seconds: float


class Upscaler:
    """Upscales pictures of any size with one model.

    Args:
        model: what to upscale with.
        tile: side of the square tiles in input pixels, at least `model.min_tile`; "whole" for no tiles; "auto" for no
            tiles if the image fits the memory budget, else the largest multiple of `model.min_tile` that fits it
            (never less than one). A model that discourages tiling gets eight times the budget, and one that tiles
            internally always goes through whole. "auto" looks at the image size, the model and the budget alone, so
            that the same input gives the same tiles on every machine.
        overlap: input pixels that neighbouring tiles share, see `promptsr.tiling.spans`.
        memory_budget: bytes that one forward pass may use, by the estimate of `model.bytes_per_pixel`.
        device: "cpu", "cuda", "cuda:1", ...
        max_output_pixels: larger results are refused before any work is done.
        half: let PyTorch compute in float16 where that is customary (`torch.autocast`): faster and smaller on a GPU.

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
        self._device = _available(device)
        self._half = half
        self._model = model.to(self._device)
        self._tile = tile
        self._overlap = overlap
        self._memory_budget = memory_budget
        self._max_output_pixels = max_output_pixels

    def __call__(self, picture: Picture) -> UpscaleResult:
        """Upscales a picture in one go; see `stream`."""
        return finish(self.stream(picture))

    def stream(self, picture: Picture) -> Generator[Progress, None, UpscaleResult]:
        """Upscales a picture, yielding after every tile; closing the generator stops the work there.

        The result keeps depth, greyness and metadata. Under fully transparent pixels the network sees the colour of
        the nearest other pixel, so that no dark edge grows there. Alpha is upscaled by the same network as a grey
        image, unless it is constant. Grey results are the mean of the network's three channels.

        Raises:
            UserError: the result would be too large, or the network's output is not finite.
        """
        begun = time.perf_counter()
        tile = self.tile_for(picture.height, picture.width)
        images = _fill_transparent(picture).to_tensor()  # 1 x 3 x H x W
        alpha = picture.alpha
        constant = alpha is None or bool((alpha == alpha[0, 0]).all())
        if alpha is not None and not constant:
            images = torch.cat([images, to_unit(alpha).expand(1, 3, -1, -1)])  # H x W -> 2 x 3 x H x W
        outputs = yield from self.upscale_tensor(images)
        if picture.grey:
            outputs[0] = outputs[0].mean(0)
        color = to_pixels(outputs[0].permute(1, 2, 0), picture.bit_depth)  # 3 x sH x sW -> sH x sW x 3
        if alpha is not None:
            alpha = (
                np.full(color.shape[:2], alpha[0, 0])
                if constant
                else to_pixels(outputs[1].mean(0), picture.bit_depth)  # 3 x sH x sW -> sH x sW
            )
        result = Picture(np.ascontiguousarray(color), alpha, picture.grey, picture.metadata)
        tiles = len(images) * len(self._grid(picture.height, picture.width))
        return UpscaleResult(result, tile, tiles, time.perf_counter() - begun)

    def upscale_tensor(self, images: Tensor) -> Generator[Progress, None, Tensor]:
        """Upscales a bare tensor, one image and one tile at a time; see `stream`.

        Args:
            images: B x 3 x H x W float32 in [0, 1], on the CPU.

        Returns:
            B x 3 x sH x sW float32 on the CPU, as the network gave it (not clamped).

        Raises:
            UserError: as `stream`.
        """
        batch, channels, height, width = images.shape
        scale = self._model.scale
        grid = self._grid(height, width)
        output = torch.zeros(batch, channels, scale * height, scale * width)
        work = itertools.product(range(batch), grid)
        for done, (index, (rows, columns)) in enumerate(work, start=1):
            tile = self._forward(images[index : index + 1, :, rows.low, columns.low])
            output[index, :, rows.high, columns.high] += tile * (rows.weight[:, None] * columns.weight)
            yield Progress(done, batch * len(grid))
        return output

    def tile_for(self, height: int, width: int) -> int | None:
        """The side of the tiles that an image of this size is cut into; None if it goes through whole.

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
        if self._tile == "whole":
            return None
        if isinstance(self._tile, int):
            side = self._tile
        elif self._model.tiling == "internal":
            return None
        else:
            budget = self._memory_budget * (_RELUCTANCE if self._model.tiling == "discouraged" else 1)
            fitting = budget // self._model.bytes_per_pixel  # pixels
            if height * width <= fitting:
                return None
            steps = math.isqrt(fitting) // self._model.min_tile
            side = max(steps, 1) * self._model.min_tile
        return None if side >= max(height, width) else side

    def _grid(self, height: int, width: int) -> list[tuple[Span, Span]]:
        """Rows and columns of every tile, in reading order."""
        tile = self.tile_for(height, width) or max(height, width)
        rows, columns = (spans(length, tile, self._overlap, self._model.scale) for length in (height, width))
        return list(itertools.product(rows, columns))

    @torch.inference_mode()
    def _forward(self, tile: Tensor) -> Tensor:
        """1 x 3 x h x w -> 3 x sh x sw float32 on the CPU."""
        with torch.autocast(self._device.type, torch.float16, enabled=self._half):
            output: Tensor = self._model(tile.to(self._device))[0].float().cpu()
        if not output.isfinite().all():
            raise UserError(
                f"{self._model.name} gave values that are not finite (NaN or infinity), so no image was made: its "
                "weights are damaged or do not suit this device; try another checkpoint or device."
            )
        return output


def _fill_transparent(picture: Picture) -> Picture:
    """The picture with the colours under fully transparent pixels replaced by that of the nearest other pixel."""
    if picture.alpha is None or picture.alpha.all() or not picture.alpha.any():
        return picture
    rows, columns = ndimage.distance_transform_edt(picture.alpha == 0, return_distances=False, return_indices=True)
    return replace(picture, color=picture.color[rows, columns])


def _available(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:  # PyTorch has no single type for this
        raise UserError(f'The device "{name}" is not available on this machine: use "cpu".') from error
    return device
