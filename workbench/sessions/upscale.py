"""Upscaled photographs as the page keeps them: files to look at, to magnify and to download."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from promptsr.imaging import Picture, decode
from promptsr.inference.upscaler import UpscaleResult
from promptsr.support.errors import UserError
from workbench.sessions.pictures import CLOSEUP, enlarge, new_folder, save_view

ZOOM = 24
"""At most so many screen pixels for one of the result."""


@dataclass(frozen=True)
class Shown:
    """The pictures on the page, as 8-bit PNG files."""

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

    def closeups(self, x: int, y: int, zoom: int) -> list[str]:
        """Write files with the same square of all three, enlarged without smoothing, around one pixel of the result.

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


def show(photo: Path, picture: Picture, models: tuple[str, str], results: Sequence[UpscaleResult]) -> Shown:
    """Write what the page shows; results keep their profile, so that the screen shows the right colours.

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
