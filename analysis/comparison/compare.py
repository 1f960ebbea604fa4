"""Several models on one image: their results, their scores, and the same region of all of them.

lr, hr = ...  # 1 x 3 x H x W and 1 x 3 x sH x sW
comparison = finish(compare([load_model("bicubic-x4"), load_model("promptsr-x4")], lr, hr))
comparison.results[1].psnr_y
comparison.rows  # with MS-SSIM and GMSD, a table for pandas
"""

import math
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor

from analysis.common.image_windows import Region
from analysis.comparison.perceptual import perceptual_scores
from promptsr.imaging.metrics import gmsd, luma, ms_ssim, psnr_y, quantize, ssim_y
from promptsr.inference.upscaler import Progress, Upscaler
from promptsr.support.errors import UserError
from promptsr.support.progress import map_progress
from promptsr.zoo.sr_model import SRModel, common_scale


@dataclass(frozen=True, eq=False)
class Result:
    """Result of one model on an image."""

    model: str
    sr: Tensor
    """1 x 3 x sH x sW in [0, 1], at the 256 levels of an 8-bit file."""
    psnr_y: float | None
    """dB, as in the paper's tables (a border of `scale` pixels left out); None without HR image."""
    ssim_y: float | None
    """As `psnr_y`; NaN for an image smaller than the window of SSIM."""
    parameters: int
    seconds: float
    """Wall-clock time of the upscaling."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """An image and the result of each model."""

    scale: int
    lr: Tensor
    """1 x 3 x H x W in [0, 1]."""
    hr: Tensor | None
    """1 x 3 x sH x sW in [0, 1], if there is one."""
    results: tuple[Result, ...]
    """In the order of the models."""

    @property
    def pictures(self) -> list[tuple[str, Tensor]]:
        """Pictures side by side, by name: the HR image or, without one, the input with its pixels repeated,
        then every result; each 1 x 3 x sH x sW."""
        if self.hr is None:
            first = "Input", self.lr.repeat_interleave(self.scale, 2).repeat_interleave(self.scale, 3)
        else:
            first = "HR", self.hr
        return [first, *((result.model, result.sr) for result in self.results)]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """For each model the numbers of its result as plain values, with those scores that are measured here.

        MS-SSIM and GMSD, and LPIPS and DISTS where `perceptual_scores` has them, leave out the same border as PSNR and
        SSIM. Without HR image they are None or missing; they are NaN for results that are too small for them.
        """
        return [self._row(result) for result in self.results]

    def _row(self, result: Result) -> dict[str, Any]:
        hr, scale = self.hr, self.scale
        return {
            "model": result.model,
            "psnr_y": result.psnr_y,
            "ssim_y": result.ssim_y,
            "ms_ssim": None if hr is None else ms_ssim(result.sr, hr, scale),
            "gmsd": None if hr is None else gmsd(result.sr, hr, scale),
            **({} if hr is None else perceptual_scores(result.sr, hr, scale)),
            "seconds": result.seconds,
            "parameters": result.parameters,
        }

    def scores(self, region: Region) -> list[tuple[float, float]]:
        """Return `region_scores` of every result; empty without HR image."""
        return [] if self.hr is None else [region_scores(result.sr, self.hr, region) for result in self.results]

    def renamed(self, names: Mapping[str, str]) -> "Comparison":
        """Return the same comparison with other names of models, by their names here; those that are left out stay."""
        results = (replace(each, model=names.get(each.model, each.model)) for each in self.results)
        return replace(self, results=tuple(results))

    def check(self, region: Region) -> None:
        """Raise a UserError if the region leaves the image."""
        region.check(*(self.scale * side for side in self.lr.shape[2:]))


@dataclass(frozen=True)
class Comparing:
    """Progress of a comparison."""

    model: str
    progress: Progress | None
    """Tiles of this model; None before the first."""


def compare(
    models: Sequence[SRModel], lr: Tensor, hr: Tensor | None = None, tile: str | int = "auto"
) -> Generator[Comparing, None, Comparison]:
    """Upscale an image with each model in turn; closing the generator stops the work.

    Args:
        models: of one scale.
        lr: 1 x 3 x H x W in [0, 1].
        hr: 1 x 3 x sH x sW in [0, 1], to score the results by.
        tile: as in `promptsr.inference.upscaler.Upscaler`.

    Raises:
        UserError: models of several scales, sizes that do not fit, or as `Upscaler` says.
    """
    scale = common_scale(models)
    height, width = (scale * side for side in lr.shape[2:])
    if hr is not None and tuple(hr.shape[2:]) != (height, width):
        raise UserError(
            f"The HR image has {hr.shape[3]} x {hr.shape[2]} pixels where x{scale} makes {width} x {height}: give the "
            "image that the input was shrunk from."
        )
    workers = [Upscaler(model, tile=tile) for model in models]  # refuses settings before any work
    results = []
    for model, worker in zip(models, workers, strict=True):
        yield Comparing(model.name, None)
        begun = time.perf_counter()
        sr = quantize((yield from map_progress(worker.upscale_tensor(lr), partial(Comparing, model.name))))
        seconds = time.perf_counter() - begun
        psnr, ssim = (None, None) if hr is None else (psnr_y(sr, hr, scale), ssim_y(sr, hr, scale))
        results.append(Result(model.name, sr, psnr, ssim, model.parameters, seconds))
    return Comparison(scale, lr, hr, tuple(results))


def region_scores(sr: Tensor, hr: Tensor, region: Region) -> tuple[float, float]:
    """Return PSNR-Y in dB and SSIM-Y of one whole region; SSIM is NaN for regions below 11 pixels."""
    return psnr_y(region.crop(sr), region.crop(hr), 0), ssim_y(region.crop(sr), region.crop(hr), 0)


def score_texts(psnr: float, ssim: float) -> tuple[str, str]:
    """Format PSNR and SSIM to as many digits as papers print; a dash for NaN."""
    return f"{psnr:.2f}", f"{ssim:.4f}" if math.isfinite(ssim) else "–"


def luma_error(sr: Tensor, hr: Tensor) -> Tensor:
    """Return SR minus HR on Y, in grey levels (of 255): 1 x 3 x H x W twice -> H x W, float64."""
    return (luma(sr) - luma(hr))[0, 0]
