"""A local attribution map as data: settings, values, and how far it can be trusted."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.comparison.compare import Region
from promptsr.support.files import replacing

WINDOW = 16
"""Side of the usual window, in output pixels."""
AT_ONCE = 2
"""Points of the path in one pass, by default."""
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Levels of the map at which `activated` is reported."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class PathSettings:
    """How the path from the blurred to the sharp image is followed; the defaults are those of LAM's authors."""

    steps: int = 50
    sigma: float = 1.2
    """Standard deviation of the blur at the start, in input pixels."""
    kernel: int = 9
    """Side of the Gaussian kernel, in input pixels."""
    rule: str = "right"
    """Rule of integration: "right", as LAM is defined, or "trapezoid", which is more accurate."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Attribution of one window of a result to the input pixels."""

    model: str
    scale: int
    region: Region
    """The window, in output pixels."""
    settings: PathSettings
    values: np.ndarray
    """Signed attributions by channel, 3 x H x W float32; they add up to the detector's change along the path."""
    detector: float
    """D of the image: how much the result varies in the window."""
    detector_blurred: float
    """D of the blurred image, where the path starts."""
    seconds: float

    @property
    def map(self) -> np.ndarray:
        """|sum over channels| / its largest value: H x W in [0, 1].

        All zero where no pixel has 1e-6 or more: that is rounding, and a flat window has no other attributions.
        """
        size: np.ndarray = np.abs(self.values.sum(axis=0))
        return size / size.max() if size.max() >= _ROUNDING else np.zeros_like(size)

    @property
    def di(self) -> float | None:
        """Diffusion index, 100 (1 - Gini of the map), larger the more pixels take part; None for an all-zero map."""
        gini = gini_coefficient(self.map)
        return None if gini is None else 100 * (1 - gini)

    @property
    def completeness_gap(self) -> float | None:
        """(sum of attributions - change of the detector) / |change|; None for a change below 1e-6.

        A small gap says that the steps were fine enough. PromptSR sorts pixels into categories, so its detector jumps
        a little along the path, and some gap remains.
        """
        change = self.detector - self.detector_blurred
        if abs(change) < _ROUNDING:
            return None
        return (float(self.values.sum(dtype=np.float64)) - change) / abs(change)

    def activated(self, level: float) -> float:
        """Share of the input pixels above this level of the map."""
        return float((self.map > level).mean())

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "model": self.model,
            "scale": self.scale,
            "di": self.di,
            "completeness_gap": self.completeness_gap,
            "detector": self.detector,
            "detector_blurred": self.detector_blurred,
            "activated": {f"{level:g}": self.activated(level) for level in LEVELS},
            "seconds": self.seconds,
            "settings": {**asdict(self.region), **asdict(self.settings)},
        }

    def save(self, path: Path, about: Mapping[str, Any] | None = None) -> None:
        """Write a `.npz` file: arrays `attribution` (3 x H x W) and `map` (H x W), and `about`, the rest as JSON.

        Args:
            path: where.
            about: something else than `to_dict`, such as that and the place of the map in a larger image.
        """
        text = json.dumps(self.to_dict() if about is None else about)
        with replacing(path) as temporary:
            np.savez_compressed(temporary, attribution=self.values, map=self.map, about=text)


def gini_coefficient(values: np.ndarray) -> float | None:
    """Return how unequally values are shared out: 0 if all are equal, near 1 if one has all; None if all are 0.

    Args:
        values: of any shape, not negative.
    """
    ordered = np.sort(values, axis=None).astype(np.float64)
    total, n = math.fsum(ordered), ordered.size
    if total == 0:
        return None
    ranks = np.arange(1, n + 1)
    return float(2 * (ranks * ordered).sum() / (n * total) - (n + 1) / n)
