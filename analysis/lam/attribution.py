"""A local attribution map as data: settings, values, and how far it can be trusted."""

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from analysis.common.image_windows import Region
from analysis.lam.patches import LEAST_GRADIENT
from promptsr.support.errors import UserError
from promptsr.support.files import replacing

WINDOW = 16
"""Side of the usual window, in output pixels."""
AT_ONCE = 2
"""Points of the path in one pass, by default."""
LEVELS = (0.01, 0.05, 0.1, 0.2, 0.5)
"""Levels of the map at which `activated` is reported."""
LARGEST_GAP = 0.05
"""Completeness gap, either way, above which a map gets a warning."""
STEPS = {"adaptive": 128, "right": 50, "trapezoid": 50}
"""Rules of integration, and the usual number of steps of each."""
_ROUNDING = 1e-6


@dataclass(frozen=True)
class PathSettings:
    """How the path from the blurred to the sharp image is followed; blur and kernel are those of LAM's authors."""

    steps: int = STEPS["adaptive"]
    """Number of steps; by the rule "adaptive" the most that are taken."""
    sigma: float = 1.2
    """Standard deviation of the blur at the start, in input pixels."""
    kernel: int = 9
    """Side of the Gaussian kernel, in input pixels."""
    rule: str = "adaptive"
    """Rule of integration: "right" with 50 steps is the reference, as LAM's authors compute it; "trapezoid" is more
    accurate; "adaptive" doubles the steps of the trapezoid rule until they are enough, see `LocalAttributionMap`."""

    @classmethod
    def reference(cls) -> "PathSettings":
        """Return the settings of LAM's authors."""
        return cls(STEPS["right"], rule="right")

    @classmethod
    def quick(cls) -> "PathSettings":
        """Return settings for previews, and for many maps that are compared with each other: 10 steps.

        With few steps LAM's own rule overstates how far a network looks; the trapezoid rule less.
        """
        return cls(10, rule="trapezoid")


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
    levels: tuple[tuple[int, float], ...] = ()
    """Numbers of steps that were taken one after the other, with the sum of the attributions after each; the last ones
    are those of `values`."""

    @property
    def peak(self) -> float:
        """Largest attribution of a pixel, |sum over channels|; 0 below 1e-6, which is rounding."""
        largest = float(np.abs(self.values.sum(axis=0)).max())
        return largest if largest >= _ROUNDING else 0.0

    @property
    def map(self) -> np.ndarray:
        """|sum over channels| / `peak`: H x W in [0, 1]; all zero where that is 0."""
        size: np.ndarray = np.abs(self.values.sum(axis=0))
        return size / self.peak if self.peak else np.zeros_like(size)

    @property
    def di(self) -> float | None:
        """Diffusion index, 100 (1 - Gini of the map), larger the more pixels take part; None for an all-zero map."""
        gini = gini_coefficient(self.map)
        return None if gini is None else 100 * (1 - gini)

    @property
    def completeness_gap(self) -> float | None:
        """(sum of attributions - change of the detector) / |change|; None for a change below 1e-6.

        It is the error of the integration less the share of the change that comes in jumps: PromptSR sorts pixels into
        categories, and where one changes its category along the path, no gradient sees what that does.
        """
        return self._of_change(float(self.values.sum(dtype=np.float64)) - (self.detector - self.detector_blurred))

    @property
    def integration_error(self) -> float | None:
        """By how much the last doubling of the steps moved the gap; None without one, or where the gap is None."""
        if len(self.levels) < 2:
            return None
        (_, before), (_, after) = self.levels[-2:]
        error = self._of_change(after - before)
        return None if error is None else abs(error)

    @property
    def jumps(self) -> float | None:
        """Share of the detector's change that comes in jumps, the gap's other sign; None if that may be 0.

        That is where the gap is within twice the error of the integration.
        """
        gap, error = self.completeness_gap, self.integration_error
        return None if gap is None or error is None or abs(gap) <= 2 * error else -gap

    def _of_change(self, amount: float) -> float | None:
        """Return an amount of the detector in units of its change along the path; None for none."""
        change = abs(self.detector - self.detector_blurred)
        return None if change < _ROUNDING else amount / change

    @property
    def contrast(self) -> float:
        """Mean difference of neighbouring pixels in the window of the result, in grey levels: `detector` / (3 size^2).

        The gradient of each channel, by forward differences.
        """
        return 255 * self.detector / (3 * self.region.size**2)

    @property
    def warning(self) -> str | None:
        """Sentence that says why the map is not to be relied on, and what to do; None for a sound one.

        A window is flat if no pixel of the input has an attribution, or if its `contrast` is below `LEAST_GRADIENT`,
        by which `patches.find_regions` leaves out flat windows too; there that is counted in LR pixels.
        """
        if not self.peak or self.contrast * self.scale < LEAST_GRADIENT:
            return (
                f"The window is flat (neighbouring pixels differ by {self.contrast:.2f} grey levels on average), so "
                "its map says little: choose a place with an edge or texture."
            )
        gap = self.completeness_gap
        if gap is None or abs(gap) > LARGEST_GAP:
            if gap is not None and self.jumps is not None:
                return (
                    f"The completeness gap stays at {100 * gap:+.1f} % with {self.levels[-1][0]} steps (integration "
                    f"error {100 * (self.integration_error or 0):.1f} %): the window changes in jumps, such as "
                    "those of categories, which gradients do not see. Choose another place for an exact map."
                )
            size = "is unknown" if gap is None else f"of {100 * gap:+.1f} % is above {100 * LARGEST_GAP:g} %"
            more = "take more steps" if self.settings.rule == "adaptive" else "take the adaptive rule"
            return f"The completeness gap {size}, so the map is inexact: {more}, or choose another place."
        return None

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
            "integration_error": self.integration_error,
            "jumps": self.jumps,
            "levels": [list(level) for level in self.levels],
            "warning": self.warning,
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

    @classmethod
    def load(cls, path: Path) -> "Attribution":
        """Read a file that `save` has written; of a patch of an image, the window is placed in the patch.

        Raises:
            UserError: it is no such file.
        """
        try:
            with np.load(path) as arrays:  # of plain arrays: nothing in the file is run
                values, about = arrays["attribution"], json.loads(str(arrays["about"]))
            scale, settings = about["scale"], about["settings"]
            x, y = (settings[axis] - scale * settings.get("patch", {axis: 0})[axis] for axis in "xy")
            rule = PathSettings(*(settings[field.name] for field in fields(PathSettings)))
            detector, blurred, seconds = (about[name] for name in ("detector", "detector_blurred", "seconds"))
            levels = tuple((steps, total) for steps, total in about.get("levels", []))
            region = Region(x, y, settings["size"])
            return cls(about["model"], scale, region, rule, values, detector, blurred, seconds, levels)
        except (OSError, EOFError, ValueError, LookupError, TypeError, BadZipFile, zlib.error) as error:
            raise UserError(f"{path} is no attribution ({error}): choose a .npz file that LAM has written.") from error


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
