"""PSNR-Y and SSIM-Y of a model over a folder, the way the paper's Table I is measured."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from promptsr.data import load_pair
from promptsr.imaging.decode import find_images
from promptsr.imaging.metrics import SSIM_WINDOW, psnr_y, quantize, ssim_y
from promptsr.support.errors import ImageError, UserError
from promptsr.zoo.sr_model import SRModel


@dataclass(frozen=True)
class ImageScore:
    """Scores of one result against its HR image."""

    name: str
    psnr_y: float
    """dB"""
    ssim_y: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of a folder."""

    model: str
    scale: int
    images: list[ImageScore]

    @property
    def psnr_y(self) -> float:
        """Mean over the images, dB."""
        return math.fsum(image.psnr_y for image in self.images) / len(self.images)

    @property
    def ssim_y(self) -> float:
        return math.fsum(image.ssim_y for image in self.images) / len(self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "psnr_y": self.psnr_y, "ssim_y": self.ssim_y}


def find_pairs(hr_folder: Path, lr_folder: Path | None, lr_ending: str = "") -> list[tuple[Path, Path | None]]:
    """Pair HR images with the LR images of the same names (None: to be made from the HR image).

    Args:
        hr_folder: of the HR images.
        lr_folder: of the LR images.
        lr_ending: a suffix that LR names may have, such as "x4" in `babyx4.png`.

    Raises:
        UserError: a folder is missing or empty, or an HR image has no partner.
    """
    hr_paths = find_images(hr_folder)
    if lr_folder is None:
        return [(path, None) for path in hr_paths]
    lr_paths = {path.stem: path for path in find_images(lr_folder)}
    partners = [lr_paths.get(f"{path.stem}{lr_ending}", lr_paths.get(path.stem)) for path in hr_paths]
    if None in partners:
        missing = hr_paths[partners.index(None)].name
        raise UserError(f"{lr_folder} has no LR image called {missing}: add it, or do without the LR folder.")
    return list(zip(hr_paths, partners, strict=True))


def score_pair(model: SRModel, hr_path: Path, lr_path: Path | None) -> ImageScore:
    """Score one image: whole, the result rounded to 8 bit, a border of `scale` pixels left out.

    Args:
        model: on any device; the scores are computed on the CPU.
        hr_path: of the HR image.
        lr_path: of the LR image; None: it is made from the HR image.

    Raises:
        UserError: a file cannot be read, is too small, or the sizes of the pair do not fit the scale.
    """
    scale = model.scale
    hr, lr = load_pair(hr_path, scale, lr_path)
    if lr_path is not None and hr.shape[2:] != (scale * lr.shape[2], scale * lr.shape[3]):
        raise UserError(
            f"{lr_path.name} ({lr.shape[3]} x {lr.shape[2]}) is not {hr_path.name} "
            f"({hr.shape[3]} x {hr.shape[2]}) shrunk by {scale}: give the LR folder of this scale."
        )
    if min(hr.shape[2:]) < SSIM_WINDOW + 2 * scale:
        raise ImageError(f"{hr_path} is too small to be measured at x{scale}: leave it out.")
    with torch.inference_mode():
        sr = quantize(model(lr.to(model.device))).cpu()
    return ImageScore(hr_path.name, psnr_y(sr, hr, scale), ssim_y(sr, hr, scale))


def evaluate(model: SRModel, pairs: list[tuple[Path, Path | None]]) -> Iterator[ImageScore]:
    """Score pair after pair, see `score_pair`."""
    for hr_path, lr_path in pairs:
        yield score_pair(model, hr_path, lr_path)
