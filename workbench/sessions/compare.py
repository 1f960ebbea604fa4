"""Comparisons as the page keeps them: images read from files, and results as files to look at and measure again."""

import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.common.suggestions import suggest
from analysis.common.tables import write_table
from analysis.comparison.compare import Comparison, Result, luma_error, score_texts
from analysis.comparison.figure import draw_comparison, paint_difference
from promptsr.data import make_lr
from promptsr.imaging import Metadata, Picture, decode, encode
from promptsr.imaging.resize import crop_to_multiple
from promptsr.support.errors import UserError
from promptsr.zoo.memory import enough_for_result
from workbench.server.limits import in_force
from workbench.sessions.figure_names import figure_names
from workbench.sessions.pictures import new_file, new_folder, to_picture, write_figure
from workbench.sessions.uploads import read_photograph

_BYTES = 5 * 3 * 4 + 13 * 8
"""Bytes of memory for each pixel of a result: the HR image and four results in float32, and what SSIM takes."""
WAYS = {
    "Test: shrink, then restore (gives scores)": "shrink",
    "Just enlarge (without scores)": "enlarge",
    "Enlarge, and score against an HR image": "hr",
}
"""Sources of the scores, by their label on the page."""


@dataclass(frozen=True, eq=False)
class Question:
    """The images of a comparison: 1 x 3 x H x W and, if there is one, 1 x 3 x sH x sW, in [0, 1]."""

    lr: Tensor
    hr: Tensor | None
    metadata: Metadata


def ask(image: Path, way: str, hr_image: Path | None, scale: int) -> Question:
    """Read the images; only colour is compared, without alpha.

    Raises:
        UserError: an unreadable or missing file, or results too large to compare.
    """
    picture = read_photograph(image)
    metadata = Metadata(icc=picture.metadata.icc)
    most, factor = in_force().compared_pixels, 1 if way == "shrink" else scale
    pixels = picture.width * picture.height * factor**2
    if most is not None and pixels > most:
        raise UserError(
            f"Results of {factor * picture.width} x {factor * picture.height} pixels are too large to compare "
            f"(the limit is {most / 1e6:.1f} megapixels): "
            + ("crop the photograph." if way == "shrink" else "crop the photograph, or let it be shrunk first.")
        )
    with enough_for_result(_BYTES * pixels):
        pass
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
    """Return the region of three number fields.

    Raises:
        UserError: one of them is empty.
    """
    if x is None or y is None or size is None:
        raise UserError("The edges and the size of the region must be whole numbers.")
    return Region(x, y, size)


def fit(x: int | None, y: int | None, size: int, width: int, height: int) -> Region:
    """Move a region into an image of this size; without a corner it lies in the middle."""
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
    """Name of the photograph."""
    scale: int
    width: int
    """Pixels of a row of the results; `height` counts their rows."""
    height: int
    scored: bool
    lr: Path
    files: dict[str, Path]
    """Files of the HR image (or of the input), then of every model."""
    rows: list[dict[str, Any]]
    """As `Comparison.rows`."""
    metadata: Metadata

    @property
    def references(self) -> list[str]:
        """Names of pictures that results can be subtracted from: not an input with repeated pixels."""
        return list(self.files)[0 if self.scored else 1 :]

    def file(self, name: str) -> str:
        """Return the picture of this name.

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
        """Read the comparison again: results are at 8-bit levels, and the files keep the depth of the others."""
        first, *others = (decode(path).to_tensor() for path in self.files.values())
        results = tuple(
            Result(row["model"], sr, row["psnr_y"], row["ssim_y"], row["parameters"], row["seconds"])
            for sr, row in zip(others, self.rows, strict=True)
        )
        return Comparison(self.scale, decode(self.lr).to_tensor(), first if self.scored else None, results)

    def differences(self, reference: str, limit: int, signed: bool) -> list[tuple[str, str]]:
        """Write a map of every other result minus the reference on Y, pixel by pixel, with captions.

        Raises:
            UserError: no such reference.
        """
        base = decode(Path(self.file(reference))).to_tensor()
        folder = new_folder()
        maps = []
        for name in (row["model"] for row in self.rows if row["model"] != reference):
            difference = luma_error(decode(self.files[name]).to_tensor(), base).numpy()
            file = new_file(folder, f"{name}-minus-{reference}", ".png")
            encode(Picture(paint_difference(difference, limit, signed)), file)
            maps.append((str(file), f"{name} − {reference}: {np.abs(difference).mean():.2f} grey levels on average"))
        return maps

    def look(self, region: Region) -> dict[str, Any]:
        """Return every picture by `name` and `file`, with its `scores` in a region, and the region itself.

        Raises:
            UserError: the region leaves the image.
        """
        region.check(self.height, self.width)
        scores = self.load().scores(region) if self.scored else []
        texts = ["{} dB / {}".format(*score_texts(*each)) for each in scores] or [""] * len(self.rows)
        pictures = [
            {"name": name, "file": str(file), "scores": text}
            for (name, file), text in zip(self.files.items(), ["", *texts], strict=True)
        ]
        return {"pictures": pictures, "width": self.width, "height": self.height, **asdict(region)}

    def suggest(self, kind: str, size: int) -> Region:
        """Return the region that `analysis.common.suggestions.suggest` finds.

        Raises:
            UserError: as it says.
        """
        comparison = self.load()
        return suggest(kind, comparison.lr, comparison.hr, [result.sr for result in comparison.results], size)

    def export(self) -> list[str]:
        """Write a ZIP of the input, the HR image and all results as whole PNG files, and the scores as CSV."""
        folder = new_folder()
        images, table = (
            new_file(folder, f"{self.name}-{of}", end) for of, end in (("images", ".zip"), ("scores", ".csv"))
        )
        with zipfile.ZipFile(images, "w") as archive:  # PNG is compressed already
            for path in (self.lr, *(self.files[name] for name in self.references)):
                archive.write(path, path.name)
        write_table(pd.DataFrame(self.rows), table)
        return [str(images), str(table)]

    def figures(self, region: Region) -> list[str]:
        """Write the figure for a paper, with the visit's names of models: PNG, PDF and SVG.

        Raises:
            UserError: the region leaves the image.
        """
        figure = draw_comparison(self.load().renamed(figure_names()), region, self.name)
        return write_figure(figure, f"{self.name}-comparison", (".png", ".pdf", ".svg"))


def keep(name: str, comparison: Comparison, metadata: Metadata) -> Compared:
    """Write a comparison to files; `metadata` is that of the photograph."""
    folder = new_folder()

    def save(of: str, image: Tensor) -> Path:
        path = new_file(folder, f"{name}-{of}", ".png")
        encode(to_picture(image, metadata), path)
        return path

    files = {of: save(of, image) for of, image in comparison.pictures}
    height, width = (comparison.scale * side for side in comparison.lr.shape[2:])
    scored, lr = comparison.hr is not None, save("LR", comparison.lr)
    return Compared(name, comparison.scale, width, height, scored, lr, files, comparison.rows, metadata)
