"""Upscaled photographs as the page keeps them: files to look at, to magnify and to download."""

import math
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from analysis.common.suggestions import suggest
from promptsr.imaging import Picture, decode, encode
from promptsr.imaging.encode import losses
from promptsr.inference.self_ensemble import self_ensemble
from promptsr.inference.sizes import NO_WISH, Size
from promptsr.inference.upscaler import MEMORY_BUDGET, Upscaler, UpscaleResult
from promptsr.support.errors import UserError
from promptsr.support.large_arrays import empty_array, on_disk
from promptsr.zoo.sr_model import SRModel
from workbench.server.device import devices
from workbench.server.limits import in_force
from workbench.sessions import models
from workbench.sessions.pictures import CLOSEUP, enlarge, new_file, new_folder, reduction, save_view

ZOOM = 24
"""At most so many screen pixels for one of the result."""
MEMORY = MEMORY_BUDGET >> 20
"""Working memory of automatic tiles, MiB, by default."""
START_ZOOM = 6
_LOOKS = 64
"""Close-ups of one result whose files are kept."""
_SEARCHED = 2**20
"""Pixels among which the place is searched where two results differ most."""
_LINES = 256
"""Lines that are copied at a time."""
FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}
"""Suffixes of downloads by the formats that the page offers."""


def suffix_of(file_format: str) -> str:
    """Return the suffix of a format.

    Raises:
        UserError: there is no such format.
    """
    if file_format not in list(FORMATS):
        raise UserError(f"There is no format {file_format}: choose one of {', '.join(FORMATS)}.")
    return FORMATS[file_format]


@dataclass(frozen=True)
class UpscaleSettings:
    """How networks are run, and the size of results.

    Raises:
        UserError: an impossible value.
    """

    tile: str = "auto"
    """"auto", "whole", or the side of the tiles in input pixels."""
    memory: int = MEMORY
    """Working memory of automatic tiles, MiB."""
    ensemble: bool = False
    """The mean over the eight flips and turns."""
    device: str = "cpu"
    size: Size = NO_WISH
    half: bool = False
    """Compute in float16, see `Upscaler`."""

    def __post_init__(self) -> None:
        most = max(in_force().pass_bytes >> 20, MEMORY)
        if not 1 <= self.memory <= most:
            raise UserError(f"The memory must be 1 to {most} MiB, not {self.memory}.")
        if self.device not in devices():
            raise UserError(f"There is no device {self.device}: choose one of {', '.join(devices())}.")

    def upscaler(self, model: SRModel) -> Upscaler:
        """Return what upscales with a model; bicubic interpolation is one fast pass of the CPU.

        Raises:
            UserError: tiles that are no number, or too small for the model, or a model that half precision may harm.
        """
        network = bool(model.parameters)
        return Upscaler(
            self_ensemble(model) if self.ensemble and network else model,
            tile=self.tile_size if network else "auto",
            memory_budget=self.memory << 20,
            device=self.device if network else "cpu",
            max_output_pixels=in_force().output_pixels,
            size=self.size,
            half=self.half and network,
        )

    def check_pass(self, model: SRModel, height: int, width: int) -> None:
        """Refuse tiles of a photograph of this size that take more memory than the page gives.

        Raises:
            UserError: they do.
        """
        tile = self.tile_size
        if tile == "auto" and self.memory > MEMORY:
            tile = self.upscaler(model).tile_for(height, width) or "whole"
        models.check_pass(model, tile, height, width)

    def title(self, model: str) -> str:
        """Return the name under which results of a model go."""
        return f"{model}+" if self.ensemble and not model.startswith(models.BICUBIC) else model

    def way(self) -> str:
        """Return all that decides on the time for a pixel, but for the model."""
        memory = self.memory if self.tile_size == "auto" else ""
        return f"{self.tile_size} {memory} {self.device}{' half' if self.half else ''}"

    @property
    def tile_size(self) -> str | int:
        """`tile` as `Upscaler` takes it."""
        text = self.tile.strip()
        return int(text) if text.isdecimal() else text


@dataclass(frozen=True, eq=False)
class Shown:
    """The pictures on the page, as 8-bit PNG files that browsers can show."""

    photo: Path
    """File that was sent."""
    models: tuple[str, str]
    """Names of the comparison and of the model."""
    scale: int
    width: int
    """Pixels of a row of the input; `height` counts its rows."""
    height: int
    small: Path
    """The input."""
    compared: Path
    result: Path
    whole: Mapping[Path, Picture]
    """Pictures whose files are smaller than they are, with their pixels in temporary files on the disk."""
    name: str
    """Name of a download, without a suffix."""
    picture: Picture
    """All of the result, with its pixels in temporary files on the disk."""
    start: tuple[int, int]
    """Middle of the place where both results differ most, as x and y."""
    question: tuple[Any, ...] = ()
    """Arguments of the run, as the page has them."""
    run: str = ""
    """Gradio's event of the run."""
    news: str = ""
    """Status of the finished run."""
    downloads: dict[tuple[str, int], Path] = field(default_factory=dict)
    """Files by format and quality."""
    looks: deque[Path] = field(default_factory=deque)
    """Folders of the latest close-ups."""

    def download(self, file_format: str, quality: int) -> tuple[Path, list[str]]:
        """Write the result as a file, unless that was done before.

        Args:
            file_format: one of `FORMATS`.
            quality: 1 to 100, of JPEG and WebP.

        Returns:
            The file, and what the format cannot keep, a phrase each.

        Raises:
            UserError: there is no such format, the result is too large for it, or it cannot be written.
        """
        file = self.downloads.get((file_format, quality))
        if file is None or not file.exists():  # files live for a day
            file = new_file(new_folder(), self.name, suffix_of(file_format))
            encode(self.picture, file, quality=quality)
            self.downloads[file_format, quality] = file
        return file, losses(self.picture, file)

    @property
    def title(self) -> str:
        """Name of the model, and of the way in which it ran."""
        return self.name.removeprefix(f"{self.photo.stem}-")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the result."""
        return self.picture.width, self.picture.height

    @property
    def reduction(self) -> int:
        """How many times smaller the file of the result is."""
        return reduction(self.whole[self.result]) if self.result in self.whole else 1

    def square(self, x: int, y: int, zoom: int) -> tuple[slice, slice]:
        """Return the rows and the columns of the result that a close-up shows around one of its pixels.

        Raises:
            UserError: the pixel lies outside of the result, or the zoom is impossible.
        """
        if not 1 <= zoom <= ZOOM:
            raise UserError(f"The zoom must be 1 to {ZOOM}, not {zoom}.")
        width, height = self.size
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(f"The point ({x}, {y}) lies outside of the {width} x {height} result: click on it.")
        step = self.step
        count = max(1, CLOSEUP // (zoom * step))
        top, left = (
            min(max(step * (middle // step - count // 2), 0), max(length - step * count, 0))
            for middle, length in ((y, height), (x, width))
        )
        return slice(top, min(top + step * count, height)), slice(left, min(left + step * count, width))

    @property
    def step(self) -> int:
        """Pixels between squares that differ: they begin and end with whole pixels of the input, if it has such."""
        return self.scale if self.size == (self.scale * self.width, self.scale * self.height) else 1

    def closeups(self, x: int, y: int, zoom: int) -> list[str]:
        """Write files with the same square of all three, enlarged without smoothing, around one pixel of the result.

        Raises:
            UserError: as `square`.
        """
        rows, columns = self.square(x, y, zoom)
        width, height = self.size
        folder, everywhere, files = new_folder(), slice(None), []
        self.looks.append(folder)
        if len(self.looks) > _LOOKS:
            shutil.rmtree(self.looks.popleft(), ignore_errors=True)
        for name, source in (("input", self.small), ("compared", self.compared), ("result", self.result)):
            square = nearest(self.whole.get(source) or decode(source), height, width, rows, columns)
            files.append(str(save_view(enlarge(square, everywhere, everywhere, zoom), folder / f"{name}.png")))
        return files


def show(
    photo: Path,
    picture: Picture,
    models: tuple[str, str],
    scale: int,
    results: Sequence[UpscaleResult],
    name: str,
) -> Shown:
    """Write what the page shows; pictures keep their profile, so that the screen shows the right colours.

    Args:
        photo: what was sent.
        picture: what it holds.
        models: names of the comparison and of the model.
        scale: of both.
        results: theirs.
        name: of downloads.

    Raises:
        UserError: the disk has no room.
    """
    folder = new_folder()
    pictures = [picture, *(result.picture for result in results)]
    small, compared, result = (
        save_view(each, folder / f"{name}.png")
        for name, each in zip(("input", "compared", "result"), pictures, strict=True)
    )
    whole = {file: each for file, each in zip((small, compared, result), pictures, strict=True) if reduction(each) > 1}
    final = pictures[-1]
    alpha = None if final.alpha is None else on_disk(final.alpha)
    final = replace(final, color=on_disk(final.color), alpha=alpha)
    size, start = (picture.width, picture.height), _most_different(*pictures[1:])
    return Shown(photo, models, scale, *size, small, compared, result, whole, name, final, start)


def _most_different(compared: Picture, result: Picture) -> tuple[int, int]:
    """Return the middle, as x and y, of the square where two pictures of one size differ most on Y.

    Of large ones it takes every second pixel of every second line, or fewer, which hardly moves the place.
    """
    apart = math.ceil(math.sqrt(result.width * result.height / _SEARCHED))
    seen = [replace(each, color=each.color[::apart, ::apart], alpha=None).to_tensor() for each in (compared, result)]
    region = suggest("disagreement", seen[0], None, seen, max(1, CLOSEUP // START_ZOOM // apart))
    return apart * (region.x + region.size // 2), apart * (region.y + region.size // 2)


def nearest(
    picture: Picture, height: int, width: int, rows: slice = slice(None), columns: slice = slice(None)
) -> Picture:
    """Return a part of a picture as it is at another size, where every pixel is the nearest one of the picture."""
    places = np.ix_(
        *(
            (2 * np.arange(length)[part] + 1) * side // (2 * length)
            for length, part, side in ((height, rows, picture.height), (width, columns, picture.width))
        )
    )
    return replace(picture, color=picture.color[places], alpha=None if picture.alpha is None else picture.alpha[places])


def canvas(picture: Picture, height: int, width: int) -> Picture:
    """Return a copy of a picture at another size, for an upscaler to fill; in temporary files if it is large."""
    color = empty_array((height, width, 3), picture.color.dtype)
    alpha = None if picture.alpha is None else empty_array((height, width), picture.color.dtype)
    for start in range(0, height, _LINES):
        lines = slice(start, start + _LINES)
        part = nearest(picture, height, width, lines)
        color[lines] = part.color
        if alpha is not None:
            alpha[lines] = part.alpha
    return replace(picture, color=color, alpha=alpha)
