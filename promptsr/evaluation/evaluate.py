"""PSNR-Y and SSIM-Y of a model over a folder, the way the paper's Table I is measured."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from promptsr.data import load_common
from promptsr.data.pairs import PairPaths
from promptsr.imaging.metrics import SSIM_WINDOW, psnr_y, quantize, ssim_y
from promptsr.support.errors import ImageError, first_few
from promptsr.support.files import finite
from promptsr.zoo.sr_model import SRModel


@dataclass(frozen=True)
class ImageScore:
    """Scores of one result against its HR image."""

    name: str
    psnr_y: float
    """dB; infinite for a perfect result."""
    ssim_y: float


@dataclass(frozen=True)
class LeftOut:
    """An image that could not be measured."""

    name: str
    reason: str
    """A sentence that names the file and says what to do."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a folder."""

    model: str
    scale: int
    images: list[ImageScore]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on the images."""

    @property
    def psnr_y(self) -> float:
        """Mean over the images that are not perfect, dB; infinite if all are perfect, NaN if there are none."""
        rest = [image.psnr_y for image in self.images if not math.isinf(image.psnr_y)]
        return _mean(rest) if rest or not self.images else math.inf

    @property
    def ssim_y(self) -> float:
        """Mean over the images; NaN if there are none."""
        return _mean([image.ssim_y for image in self.images])

    @property
    def perfect(self) -> int:
        """Number of images whose result equals HR, and whose PSNR is infinite."""
        return sum(math.isinf(image.psnr_y) for image in self.images)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Return sentences that belong beside the means: which images they leave out, and `notes`."""
        remarks = list(self.notes)
        if self.left_out:
            remarks.append(f"Not measured: {first_few([image.name for image in self.left_out])}.")
        if self.perfect:
            number, rest = len(self.images), len(self.images) - self.perfect
            are = "is" if self.perfect == 1 else "are"
            mean = f": the mean PSNR is of the other{f' {rest}' if rest > 1 else ''}" if rest else ""
            remarks.append(f"{self.perfect} of {number} {are} perfect{mean}.")
        return tuple(remarks)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, which has no infinity: the PSNR of a perfect image is None."""
        means = {"perfect": self.perfect, "psnr_y": self.psnr_y, "ssim_y": self.ssim_y}
        plain: dict[str, Any] = finite({**asdict(self), **means})
        return plain


def smallest_side(scale: int) -> int:
    """Return the shorter side of the smallest HR image that can be measured, pixels."""
    return SSIM_WINDOW + 2 * scale


def decibels(value: float, digits: int = 2) -> str:
    """Return a PSNR as text."""
    return "∞" if math.isinf(value) else "–" if math.isnan(value) else f"{value:.{digits}f}"


def score_pair(model: SRModel, hr_path: Path, lr_path: Path | None) -> ImageScore:
    """Score one image: whole, the result rounded to 8 bit, a border of `scale` pixels left out.

    Where the sides of the LR image are rounded up, the part of the result that HR shows is scored.

    Args:
        model: on any device; the scores are computed on the CPU.
        hr_path: of the HR image.
        lr_path: of the LR image; None: it is made from the HR image.

    Raises:
        UserError: a file cannot be read, is too small, or the sizes of the pair do not fit the scale.
    """
    scale = model.scale
    hr, lr = load_common(hr_path, scale, lr_path)
    if min(hr.shape[2:]) < smallest_side(scale):
        raise ImageError(f"{hr_path} is too small to be measured at x{scale}: leave it out.")
    with torch.inference_mode():
        sr = quantize(model(lr.to(model.device))).cpu()[:, :, : hr.shape[2], : hr.shape[3]]
    return ImageScore(hr_path.name, psnr_y(sr, hr, scale), ssim_y(sr, hr, scale))


def evaluate(model: SRModel, pairs: list[PairPaths]) -> Iterator[ImageScore]:
    """Score pair after pair, see `score_pair`."""
    for hr_path, lr_path in pairs:
        yield score_pair(model, hr_path, lr_path)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
