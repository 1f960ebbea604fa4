"""Comparisons as the page keeps them: images read from files, and results as files to look at and measure again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.common.figure_style import png, publish
from analysis.comparison.compare import Comparison, Region, Result, luma_error, score_texts
from analysis.comparison.figure import draw_comparison, draw_difference
from promptsr.data import make_lr
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.imaging.metrics import quantize
from promptsr.imaging.picture import to_pixels
from promptsr.imaging.resize import crop_to_multiple
from promptsr.support.errors import UserError
from workbench.server.limits import in_force
from workbench.sessions.uploads import read_photograph
from workbench.sessions.upscale import CLOSEUP, enlarge, new_folder

WAYS = {
    "Shrink it first, score against it": "shrink",
    "Enlarge it, without scores": "enlarge",
    "Enlarge it, score against an HR image": "hr",
}
"""Where the scores come from, by what the page calls it."""
_FIGURES = (".png", ".pdf", ".svg")
RED = (1.0, 0.2, 0.2)


@dataclass(frozen=True, eq=False)
class Question:
    """The images of a comparison: 1 x 3 x H x W and, if there is one, 1 x 3 x sH x sW, in [0, 1]."""

    lr: Tensor
    hr: Tensor | None
    metadata: Metadata


def ask(image: Path, way: str, hr_image: Path | None, scale: int) -> Question:
    """Reads the images; only colour is compared, without alpha.

    Raises:
        UserError: an unreadable or missing file, or results too large to compare.
    """
    picture = read_photograph(image)
    metadata = Metadata(icc=picture.metadata.icc)
    most, factor = in_force().compared_pixels, 1 if way == "shrink" else scale
    if picture.width * picture.height * factor**2 > most:
        raise UserError(
            f"Results of {factor * picture.width} x {factor * picture.height} pixels are too large to compare "
            f"(the limit is {most / 1e6:.1f} megapixels): "
            + ("crop the photograph." if way == "shrink" else "crop the photograph, or let it be shrunk first.")
        )
    if way == "shrink":
        hr = crop_to_multiple(picture.to_tensor(), scale)
        if 0 in hr.shape:
            raise UserError(f"{image.name} is smaller than {scale} pixels: send a larger photograph.")
        return Question(make_lr(hr, scale), hr, metadata)
    if way == "enlarge":
        return Question(picture.to_tensor(), None, metadata)
    if hr_image is None:
        raise UserError("There is no HR image yet: drop one beside the photograph, or choose another way.")
    return Question(picture.to_tensor(), read_photograph(hr_image).to_tensor(), metadata)


def region_of(x: int | None, y: int | None, size: int | None) -> Region:
    """The region of three number fields.

    Raises:
        UserError: one of them is empty.
    """
    if x is None or y is None or size is None:
        raise UserError("The edges and the size of the region must be whole numbers.")
    return Region(x, y, size)


def fit(x: int | None, y: int | None, size: int, width: int, height: int) -> Region:
    """A region that lies in an image of this size, as close to this one as can be; in the middle where no corner is
    given."""
    side = min(max(size, 1), width, height)
    left, top = (
        min(max((length - side) // 2 if start is None else start, 0), length - side)
        for start, length in ((x, width), (y, height))
    )
    return Region(left, top, side)


@dataclass(frozen=True, eq=False)
class Compared:
    """A comparison as files: a session holds on to names and numbers, not to tensors."""

    name: str
    """Of the photograph."""
    scale: int
    width: int
    """Of the results, in pixels, like `height`."""
    height: int
    scored: bool
    lr: Path
    files: dict[str, Path]
    """Of the HR image (or of the input), then of every model."""
    rows: tuple[dict[str, Any], ...]
    """For each model what `Result` holds, except for the image."""
    metadata: Metadata

    @property
    def references(self) -> list[str]:
        """Names of pictures that results can be subtracted from: not an input with repeated pixels."""
        return list(self.files)[0 if self.scored else 1 :]

    def file(self, name: str) -> str:
        """The picture of this name.

        Raises:
            UserError: there is none.
        """
        if name not in list(self.files):
            raise UserError(f"There is no picture {name}: choose one of {', '.join(self.files)}.")
        return str(self.files[name])

    def fit(self, x: int | None, y: int | None, size: int) -> Region:
        """As `fit`, for the results."""
        return fit(x, y, size, self.width, self.height)

    def load(self) -> Comparison:
        """The comparison as it was: results are at 8-bit levels, and the files keep the depth of the others."""
        first, *others = (decode(path).to_tensor() for path in self.files.values())
        results = tuple(Result(sr=sr, **row) for sr, row in zip(others, self.rows, strict=True))
        return Comparison(self.scale, decode(self.lr).to_tensor(), first if self.scored else None, results)

    def differences(self, reference: str, limit: int, signed: bool) -> list[tuple[str, str]]:
        """Files with a map of every other result minus the reference on Y, with captions.

        Raises:
            UserError: no such reference.
        """
        base = decode(Path(self.file(reference))).to_tensor()
        folder = new_folder()
        maps = []
        for name in (row["model"] for row in self.rows if row["model"] != reference):
            difference = luma_error(decode(self.files[name]).to_tensor(), base).numpy()
            file = folder / f"{name}-minus-{reference}.png"
            file.write_bytes(png(draw_difference(difference, limit, signed)))
            maps.append((str(file), f"{name} − {reference}: {np.abs(difference).mean():.2f} grey levels on average"))
        return maps

    def look(self, region: Region) -> tuple[str, list[tuple[str, str]]]:
        """Files: the whole picture with the region in a box, and the region of every picture, enlarged without
        smoothing, with its scores as caption.

        Raises:
            UserError: the region leaves the image.
        """
        comparison = self.load()
        comparison.check(region)
        folder = new_folder()
        whole, everywhere = folder / "whole.png", slice(None)
        encode(to_picture(boxed(comparison.pictures[0][1], region), self.metadata), whole)
        scores = ["", *("  {} dB / {}".format(*score_texts(*each)) for each in comparison.scores(region))]
        crops = []
        for index, (name, image) in enumerate(comparison.pictures):
            file = folder / self.files[name].name
            crop = to_picture(region.crop(image), self.metadata)
            encode(enlarge(crop, everywhere, everywhere, max(1, CLOSEUP // region.size)), file)
            crops.append((str(file), name + (scores[index] if self.scored else "")))
        return str(whole), crops

    def figures(self, region: Region) -> list[str]:
        """Files with the figure for a paper: PNG, PDF and SVG.

        Raises:
            UserError: the region leaves the image.
        """
        figure = draw_comparison(self.load(), region, self.name)
        folder = new_folder()
        files = [folder / f"{self.name}-comparison{suffix}" for suffix in _FIGURES]
        for file in files:
            publish(figure, file)
        return list(map(str, files))


def keep(name: str, comparison: Comparison, metadata: Metadata) -> Compared:
    """Writes a comparison to files; `metadata` is that of the photograph."""
    folder = new_folder()

    def save(of: str, image: Tensor) -> Path:
        path = folder / f"{name}-{of}.png"
        encode(to_picture(image, metadata), path)
        return path

    files = {of: save(of, image) for of, image in comparison.pictures}
    rows = tuple({key: value for key, value in vars(result).items() if key != "sr"} for result in comparison.results)
    height, width = (comparison.scale * side for side in comparison.lr.shape[2:])
    scored, lr = comparison.hr is not None, save("LR", comparison.lr)
    return Compared(name, comparison.scale, width, height, scored, lr, files, rows, metadata)


def to_picture(image: Tensor, metadata: Metadata) -> Picture:
    """1 x 3 x H x W in [0, 1] as a picture of 8 bits or, where that is not exact, of 16."""
    depth = 8 if torch.equal(quantize(image), image) else 16
    color = to_pixels(image[0].permute(1, 2, 0), depth)  # 1 x 3 x H x W -> H x W x 3
    return Picture(color, metadata=metadata)


def from_array(pixels: np.ndarray) -> Tensor:
    """H x W x 3 in [0, 1] -> 1 x 3 x H x W, float32."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float()


def boxed(image: Tensor, region: Region, color: tuple[float, float, float] = RED) -> Tensor:
    """1 x 3 x H x W with a frame around the region."""
    thick = max(2, max(image.shape[2:]) // 150)
    rows, columns = (slice(max(start - thick, 0), start + region.size + thick) for start in (region.y, region.x))
    framed = image.clone()
    framed[..., rows, columns] = torch.tensor(color)[:, None, None]
    region.crop(framed)[:] = region.crop(image)
    return framed
