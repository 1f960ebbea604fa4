"""Change of a result when the input, or the order of the arithmetic, changes by next to nothing.

The categories of PromptSR are the places of largest similarity. Where two are nearly equal, a last digit decides; a
token that changes its category moves all tokens behind it to other places in the groups of category self-attention.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from promptsr.data import load_pair
from promptsr.imaging.metrics import quantize
from promptsr.zoo.sr_model import SRModel

STEP = 1e-6
"""Step by which the input moves: less than a thousandth of a level of 8 bit, and more than float32 rounds."""


@dataclass(frozen=True)
class Change:
    """Difference of two results for one image."""

    name: str
    share: float
    """Share of the 8-bit values that differ, in [0, 1]."""
    levels: int
    """Largest difference of an 8-bit value, grey levels."""
    psnr: float
    """PSNR between both results before rounding, all colours, in dB; infinite for equal ones."""


def compare(name: str, one: Tensor, other: Tensor) -> Change:
    """Compare two results of one shape, values in [0, 1]."""
    levels = (255 * (quantize(one) - quantize(other))).abs().round()
    error = (one.double() - other.double()).square().mean()
    psnr = math.inf if error == 0 else -10 * math.log10(float(error))
    return Change(name, float((levels > 0).double().mean()), int(levels.max()), psnr)


def moved(image: Tensor, step: float = STEP, seed: int = 0) -> Tensor:
    """Move every value by `step`, up or down at random, but the same way on every call with one seed."""
    up = torch.rand(image.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    return image + torch.where(up, step, -step).to(image)


def stability(model: SRModel, hr_path: Path, lr_path: Path | None) -> Change:
    """Measure how the result of a model changes when its input moves by `STEP`.

    Args:
        model: on any device.
        hr_path: of an HR image.
        lr_path: of its LR image; None: it is made from the HR image.

    Raises:
        UserError: a file cannot be read or is too small.
    """
    _, lr = load_pair(hr_path, model.scale, lr_path)
    lr = lr.to(model.device)
    with torch.inference_mode():
        return compare(hr_path.name, model(lr).cpu(), model(moved(lr)).cpu())


def mean(changes: Iterable[Change]) -> Change:
    """Return the mean share and PSNR (of the images that change at all) and the largest difference."""
    found = list(changes)
    finite = [change.psnr for change in found if math.isfinite(change.psnr)]
    share = math.fsum(change.share for change in found) / len(found)
    psnr = math.fsum(finite) / len(finite) if finite else math.inf
    return Change("mean", share, max(change.levels for change in found), psnr)
