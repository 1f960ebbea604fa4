"""The texture of a window, the detail that a result loses or adds, and how error grows with texture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import scipy

Kind = Literal["blur", "artefact"]

_HIGH_PASS = 6.0
"""Sigma in pixels of the Gaussian that is taken away: what is left is detail."""
_NEIGHBOURHOOD = 3.0
"""Sigma in pixels of the Gaussian neighbourhood in which a result's detail is fitted to that of the HR image."""


@dataclass(frozen=True)
class Texture:
    """Texture of a window of the HR image."""

    contrast: float
    """Standard deviation of Y, grey levels."""
    gradient: float
    """Mean magnitude of the gradient of Y, grey levels per pixel: the measure of texture complexity here."""
    coherence: float
    """(l1 - l2) / (l1 + l2) for the eigenvalues of the mean structure tensor: 1 for parallel edges, 0 for none."""


@dataclass(frozen=True)
class Detail:
    """Detail (high frequencies of Y) of a result against that of the HR image, in squared grey levels."""

    missing: float
    """The part of its squared error that a weaker copy of the HR detail would make as well."""
    invented: float
    """The rest: detail that is no weaker copy of the HR image's."""
    high_frequency_db: float
    """All detail of the result against all detail of the HR image, dB; below 0 for nearly every network."""


def gradient(luma: np.ndarray) -> np.ndarray:
    """Return the magnitude of the gradient by central differences, H x W -> H x W."""
    down, across = np.gradient(luma)
    return np.hypot(down, across)


def texture(luma: np.ndarray) -> Texture:
    """Return statistics of Y (H x W, grey levels) of a window of the HR image."""
    down, across = np.gradient(luma)
    yy, xx, xy = (float((a * b).mean()) for a, b in ((down, down), (across, across), (down, across)))
    coherence = np.hypot(xx - yy, 2 * xy) / (xx + yy) if xx + yy > 0 else 0.0
    return Texture(float(luma.std()), float(np.hypot(down, across).mean()), float(coherence))


def detail(sr: np.ndarray, hr: np.ndarray) -> Detail:
    """Measure the detail of the HR image that a result lacks, and the detail that it adds.

    In the neighbourhood of each pixel the detail a of the result is fitted by g h, a gain g in [0, 1] times the detail
    h of the HR image. Of the squared error |a - h|^2, (1 - g)^2 |h|^2 is missing detail, and the rest invented.
    `sr` and `hr` are Y of the result and of the HR image in grey levels, H x W.
    """
    gaussian_filter = scipy.ndimage.gaussian_filter
    a, h = (luma - gaussian_filter(luma, _HIGH_PASS, mode="reflect") for luma in (sr, hr))
    aa, ah, hh = (gaussian_filter(product, _NEIGHBOURHOOD, mode="reflect") for product in (a * a, a * h, h * h))
    gain = np.clip(ah / (hh + 1), 0, 1)  # one squared grey level keeps flat places quiet
    missing = (1 - gain) ** 2 * hh
    invented = aa - 2 * ah + hh - missing
    ratio = ((a * a).mean() + 1) / ((h * h).mean() + 1)
    return Detail(float(missing.mean()), float(invented.mean()), float(10 * np.log10(ratio)))


def kind_of_loss(model: Detail, other: Detail) -> Kind:
    """Say why a model loses a window to another: it lacks more detail, or it invents more, whichever grew by more.

    The sign of the high-frequency energy against HR says "blur" of many artefacts too, since nearly every result has
    less of it than the HR image; tests/analysis/failures/test_texture.py measures both rules. Detail that was replaced
    by false detail counts on both sides, and goes by whichever had more energy.
    """
    return "artefact" if model.invented - other.invented > model.missing - other.missing else "blur"


def error_by_texture(windows: pd.DataFrame, models: Sequence[str], bins: int = 8) -> pd.DataFrame:
    """Measure error against texture complexity: windows in bins of equal count, from flat to textured.

    Args:
        windows: one row per window, with `texture` and, for every model, `mse <model>` in squared grey levels.
        models: their names.
        bins: fewer if there are fewer windows.

    Returns:
        A row per model and bin: model, bin (from 0), windows, texture_low, texture (mean), texture_high, mse (mean),
        psnr_y (of that mean, dB), psnr_y_low and psnr_y_high (quartiles of the windows, dB).
    """
    ordered = windows.sort_values("texture", kind="stable")
    groups = [ordered.iloc[part] for part in np.array_split(np.arange(len(ordered)), min(bins, len(ordered)))]
    return pd.DataFrame([_row(model, number, group) for model in models for number, group in enumerate(groups)])


def _row(model: str, number: int, group: pd.DataFrame) -> dict[str, object]:
    mse = group[f"mse {model}"]
    with np.errstate(divide="ignore"):  # an error of zero is an infinite PSNR
        best, mean, worst = 10 * np.log10(255**2 / np.array([mse.quantile(0.25), mse.mean(), mse.quantile(0.75)]))
    return {
        "model": model,
        "bin": number,
        "windows": len(group),
        "texture_low": group["texture"].min(),
        "texture": group["texture"].mean(),
        "texture_high": group["texture"].max(),
        "mse": mse.mean(),
        "psnr_y": mean,
        "psnr_y_low": worst,
        "psnr_y_high": best,
    }
