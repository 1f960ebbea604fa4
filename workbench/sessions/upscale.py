"""Upscaled photographs as the page keeps them: files to look at, to magnify and to download."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex

import gradio as gr
import numpy as np

from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.imaging.picture import to_pixels, to_unit
from promptsr.inference.upscaler import UpscaleResult
from promptsr.support.errors import UserError

CLOSEUP = 384
"""Side of a close-up in screen pixels."""
ZOOM = 24
"""At most so many screen pixels for one of the result."""


@dataclass(frozen=True)
class Shown:
    """The pictures on the page, as 8-bit PNG files."""

    photo: Path
    """What was sent."""
    models: tuple[str, str]
    """Names of the comparison and of the model."""
    scale: int
    width: int
    """Of the input, in pixels, like `height`."""
    height: int
    small: Path
    """The input."""
    compared: Path
    result: Path

    def closeups(self, x: int, y: int, zoom: int) -> list[str]:
        """Files with the same square of all three, enlarged without smoothing, around one pixel of the result.

        Raises:
            UserError: the pixel lies outside of the result, or the zoom is impossible.
        """
        if not 1 <= zoom <= ZOOM:
            raise UserError(f"The zoom must be 1 to {ZOOM}, not {zoom}.")
        width, height = self.scale * self.width, self.scale * self.height
        if not (0 <= x < width and 0 <= y < height):
            raise UserError(f"The point ({x}, {y}) lies outside of the {width} x {height} result: click on it.")
        side = max(1, CLOSEUP // (zoom * self.scale))  # input pixels
        left, top = (
            min(max(middle // self.scale - side // 2, 0), max(length - side, 0))
            for middle, length in ((x, self.width), (y, self.height))
        )
        folder = new_folder()
        files = []
        for source, scale in ((self.small, 1), (self.compared, self.scale), (self.result, self.scale)):
            rows, columns = (slice(scale * start, scale * (start + side)) for start in (top, left))
            closeup = enlarge(decode(source), rows, columns, zoom * self.scale // scale)
            files.append(str(save_view(closeup, folder / source.name)))
        return files


def new_folder() -> Path:
    """Make a folder in Gradio's cache, from where files are served to those who know its name, which cannot be
    guessed; deleted after a day."""
    cache = Path(gr.utils.get_upload_folder())
    cache.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(dir=cache, prefix=token_hex(16)))


def show(photo: Path, picture: Picture, models: tuple[str, str], results: Sequence[UpscaleResult]) -> Shown:
    """Writes what the page shows; results keep their profile, so that the screen shows the right colours.

    Args:
        photo: what was sent.
        picture: what it holds.
        models: names of the comparison and of the model.
        results: theirs.
    """
    folder = new_folder()
    compared, result = results
    return Shown(
        photo,
        models,
        result.picture.width // picture.width,
        picture.width,
        picture.height,
        save_view(picture, folder / "input.png"),
        save_view(compared.picture, folder / "compared.png"),
        save_view(result.picture, folder / "result.png"),
    )


def save_view(picture: Picture, path: Path) -> Path:
    """Writes what a screen can show of a picture: 8 bits, alpha, and the colour profile."""
    alpha = None if picture.alpha is None else to_pixels(to_unit(picture.alpha), 8)
    color = to_pixels(to_unit(picture.color), 8)
    encode(replace(picture, color=color, alpha=alpha, metadata=Metadata(icc=picture.metadata.icc)), path)
    return path


def enlarge(picture: Picture, rows: slice, columns: slice, factor: int) -> Picture:
    """A part of a picture with every pixel repeated `factor` times both ways."""

    def cut(values: np.ndarray) -> np.ndarray:
        return values[rows, columns].repeat(factor, axis=0).repeat(factor, axis=1)

    return replace(picture, color=cut(picture.color), alpha=None if picture.alpha is None else cut(picture.alpha))
