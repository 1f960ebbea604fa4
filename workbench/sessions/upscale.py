"""Upscaled photographs as the page keeps them: files to look at, to magnify and to download."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promptsr.imaging import Picture, decode
from promptsr.inference.upscaler import UpscaleResult
from promptsr.support.errors import UserError
from workbench.sessions.pictures import CLOSEUP, enlarge, new_folder, reduction, save_view

ZOOM = 24
"""At most so many screen pixels for one of the result."""


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

    @property
    def reduction(self) -> int:
        """How many times smaller the file of the result is."""
        return reduction(self.whole[self.result]) if self.result in self.whole else 1

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
            closeup = enlarge(self.whole.get(source) or decode(source), rows, columns, zoom * self.scale // scale)
            files.append(str(save_view(closeup, folder / source.name)))
        return files


def show(photo: Path, picture: Picture, models: tuple[str, str], results: Sequence[UpscaleResult]) -> Shown:
    """Write what the page shows; pictures keep their profile, so that the screen shows the right colours.

    Args:
        photo: what was sent.
        picture: what it holds.
        models: names of the comparison and of the model.
        results: theirs.
    """
    folder = new_folder()
    pictures = [picture, *(result.picture for result in results)]
    small, compared, result = (
        save_view(each, folder / f"{name}.png")
        for name, each in zip(("input", "compared", "result"), pictures, strict=True)
    )
    whole = {file: each for file, each in zip((small, compared, result), pictures, strict=True) if reduction(each) > 1}
    scale = pictures[-1].width // picture.width
    return Shown(photo, models, scale, picture.width, picture.height, small, compared, result, whole)
