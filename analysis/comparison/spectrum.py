"""Spectrum of a result's error: at which frequencies detail is missing, and at which it is invented.

models = [load_model("bicubic-x4"), load_model("promptsr-x4")]
study = finish(spectrum_study(models, find_pairs(Path("Set14/HR"), None)))
study.bands, study.images, study.impulses
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import scipy
from torch import Tensor

from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import ImageLog, ImageStep, Record, Tell, check_input_size, for_each_image, plan_of
from analysis.comparison.compare import compare
from analysis.comparison.impulse import ImpulseResponse, impulse_response
from promptsr.data import load_pair
from promptsr.data.pairs import PairPaths
from promptsr.imaging.metrics import luma
from promptsr.support.files import finite
from promptsr.support.progress import map_progress
from promptsr.support.ranks import ALONE, Ranks
from promptsr.zoo.sr_model import SRModel, check_names, common_scale

BANDS = 4
"""Bands below the input's Nyquist frequency, 0.5 cycles per input pixel; those above are as wide."""
_SMALLEST = 8
"""Shorter side of the smallest usable input, pixels: narrower ones have no frequency in some bands."""


def band_spectrum(sr: np.ndarray, hr: np.ndarray, scale: int) -> pd.DataFrame:
    """Split the energies of a result, its original and their difference by frequency.

    The frequencies are those of the cosine transform (DCT-II, orthonormal), which sees no jump where opposite borders
    meet. An image that bicubic shrinking keeps lies in a square of frequencies, so a band is a square ring: the
    larger of the two frequencies along x and y counts.

    Args:
        sr: the result, H x W, grey levels.
        hr: the original, H x W.
        scale: s.

    Returns:
        A row per band from low to high (cycles per input pixel, up to s/2), with squared grey levels per pixel:
        hr, sr: of both, without the mean of hr.
        error: of sr - hr; its sum over the bands is the mean squared error.
        missing: (1 - g)^2 hr, the part of the error that comes from the strength g by which the band of hr is found
            in sr, g = <sr, hr> / <hr, hr> (above 1 it is an excess).
        invented: of sr - g hr, what is unlike hr; missing and invented add up to error.
        product: <sr, hr>.
    """
    pixels = hr.size
    one, other = (scipy.fft.dctn(image - hr.mean(), norm="ortho") for image in (sr, hr))
    frequencies = [scale * np.arange(side) / (2 * side) for side in hr.shape]  # cycles per input pixel, below s/2
    ring = (2 * BANDS * np.maximum.outer(*frequencies)).astype(int).ravel()
    count = BANDS * scale

    def energy(values: np.ndarray) -> np.ndarray:
        sums: np.ndarray = np.bincount(ring, values.ravel(), count)
        return sums / pixels

    product, whole = energy(one * other), energy(other**2)
    strength = np.divide(product, whole, out=np.zeros(count), where=whole > 0)
    edges = np.arange(count + 1) / (2 * BANDS)
    return pd.DataFrame(
        {
            "low": edges[:-1],
            "high": edges[1:],
            "hr": whole,
            "sr": energy(one**2),
            "error": energy((one - other) ** 2),
            "missing": (1 - strength) ** 2 * whole,
            "invented": energy((one - strength[ring].reshape(one.shape) * other) ** 2),  # HW -> H x W
            "product": product,
        }
    )


@dataclass(frozen=True, eq=False)
class SpectrumStudy:
    """Spectra of several models over the same images, and their impulse responses."""

    models: tuple[str, ...]
    scale: int
    bands: pd.DataFrame
    """A row per model and band: model, low, high, and means over the images of the energies of `band_spectrum`; and
    strength, the mean product over the mean energy of HR."""
    images: pd.DataFrame
    """A row per image and model: image, model, mse (squared grey levels on Y without border), and the shares of it
    above the input's Nyquist frequency (above), by missing detail and by invented detail (missing, invented)."""
    impulses: tuple[ImpulseResponse, ...]
    skipped: dict[str, str]
    """Images that could not be used, and why."""

    @property
    def means(self) -> pd.DataFrame:
        """Return a row per model: means over the images of mse, above, missing and invented, and `above_low` and
        `above_high`, the 95 % interval of above (bootstrap over the images)."""
        rows = []
        for model in self.models:
            own = self.images[self.images["model"] == model]
            low, high = bootstrap_interval(own["above"].to_numpy(), 0)
            means = own[["mse", "above", "missing", "invented"]].mean().to_dict()
            rows.append({"model": model, **means, "above_low": low, "above_high": high})
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None for numbers that do not exist."""
        values = {
            "models": self.models,
            "scale": self.scale,
            "images": self.images["image"].nunique(),
            "skipped": self.skipped,
            "means": self.means.to_dict("records"),
            "bands": self.bands.to_dict("records"),
            "impulses": [response.numbers() for response in self.impulses],
        }
        plain: dict[str, Any] = finite(values)
        return plain


def spectrum_study(
    models: Sequence[SRModel],
    pairs: Sequence[PairPaths],
    *,
    left_out: Mapping[str, str] = MappingProxyType({}),
    log: ImageLog | None = None,
    ranks: Ranks = ALONE,
) -> Generator[ImageStep, None, SpectrumStudy]:
    """Upscale every image with each model and split the error on Y; closing the generator stops the work.

    Results are rounded to 8 bit and lose a border of `scale` pixels, as for PSNR.

    Args:
        models: of one scale and different names.
        pairs: HR images and their LR images (None: bicubic), see `promptsr.data.pairs.find_pairs`.
        left_out: images that are no pairs, by name, with the reasons.
        log: keeps the energies of every image at once; a stopped study goes on from it.
        ranks: the processes that share the images; each returns the whole.

    Raises:
        UserError: impossible models, no image could be used, or the log cannot be written.
    """
    scale, names = common_scale(models), tuple(model.name for model in models)
    check_names(models)
    impulses = tuple(impulse_response(model) for model in models)

    def work(hr_path: Path, lr_path: Path | None, at: Tell) -> Generator[ImageStep, None, Record]:
        hr, lr = load_pair(hr_path, scale, lr_path)
        comparison = yield from map_progress(compare(models, lr, hr), lambda step: at(step.model, step.progress))
        original = _inner(hr, scale)
        found = [band_spectrum(_inner(result.sr, scale), original, scale) for result in comparison.results]
        return {"image": hr_path.name, "bands": [each.to_dict("list") for each in found]}  # of each model

    records, skipped = yield from for_each_image(
        pairs,
        partial(check_input_size, scale=scale, least=_SMALLEST),
        work,
        plan=plan_of(models, kind="spectrum", bands=BANDS),
        left_out=left_out,
        log=log,
        ranks=ranks,
    )
    images, bands = [], []
    for number, name in enumerate(names):
        spectra = [pd.DataFrame(record["bands"][number]) for record in records.values()]
        mean = pd.concat(spectra).groupby(["low", "high"]).mean().reset_index()
        strength = (mean["product"] / mean["hr"]).where(mean["hr"] > 0)
        bands.append(mean.drop(columns="product").assign(strength=strength))
        bands[-1].insert(0, "model", name)
        for record, spectrum in zip(records.values(), spectra, strict=True):
            images.append({"image": record["image"], "model": name, **_shares(spectrum)})
    return SpectrumStudy(names, scale, pd.concat(bands, ignore_index=True), pd.DataFrame(images), impulses, skipped)


def _shares(spectrum: pd.DataFrame) -> dict[str, float]:
    """Return the mean squared error, and shares of it; NaN for a result without error."""
    error = float(spectrum["error"].sum())
    parts = {
        "above": spectrum["error"][BANDS:].sum(),
        "missing": spectrum["missing"].sum(),
        "invented": spectrum["invented"].sum(),
    }
    return {"mse": error, **{name: float(part / error) if error else float("nan") for name, part in parts.items()}}


def _inner(image: Tensor, border: int) -> np.ndarray:
    """Return Y without a border, in grey levels: 1 x 3 x H x W -> h x w."""
    values: np.ndarray = luma(image)[0, 0, border:-border, border:-border].numpy()
    return values
