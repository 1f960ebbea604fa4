"""PSNR-Y and SSIM-Y of a model over a folder, the way the paper's Table I is measured."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from promptsr.data import load_pair
from promptsr.errors import ImageError, UserError
from promptsr.imaging.decode import find_images
from promptsr.imaging.metrics import SSIM_WINDOW, psnr_y, quantize, ssim_y
from promptsr.sr_model import SRModel


@dataclass(frozen=True)
class ImageScore:
    """How close one result came to its HR image."""

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
        """Plain values for JSON."""
        return {**asdict(self), "psnr_y": self.psnr_y, "ssim_y": self.ssim_y}


def find_pairs(hr_folder: Path, lr_folder: Path | None) -> list[tuple[Path, Path | None]]:
    """HR images and the LR image of the same name for each (None: it is to be made from the HR image).

    Raises:
        UserError: a folder is missing or empty, or an HR image has no partner.
    """
    hr_paths = find_images(hr_folder)
    if lr_folder is None:
        return [(path, None) for path in hr_paths]
    lr_paths = {path.stem: path for path in find_images(lr_folder)}
    missing = [path.name for path in hr_paths if path.stem not in lr_paths]
    if missing:
        raise UserError(f"{lr_folder} has no LR image called {missing[0]}: add it, or leave --lr out.")
    return [(path, lr_paths[path.stem]) for path in hr_paths]


def evaluate(model: SRModel, pairs: list[tuple[Path, Path | None]]) -> Iterator[ImageScore]:
    """Scores pair after pair: whole images, results rounded to 8 bit, a border of `scale` pixels left out.

    Raises:
        UserError: a file cannot be read, is too small, or the sizes of a pair do not fit the scale.
    """
    scale = model.scale
    for hr_path, lr_path in pairs:
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
        yield ImageScore(hr_path.name, psnr_y(sr, hr, scale), ssim_y(sr, hr, scale))
