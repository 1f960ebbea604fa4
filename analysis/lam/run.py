"""Attribute one window with several models, and compare what they make of it: the one run behind every interface.

explanation = finish(explain_window([load_model("promptsr-x4")], lr, Region(x=120, y=88, size=16)))
explanation.attributions[0].di
"""

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from matplotlib.figure import Figure
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparing, Comparison, compare
from analysis.lam.attribution import AT_ONCE, Attribution, PathSettings
from analysis.lam.backward_memory import check_memory
from analysis.lam.figure import draw_lam
from analysis.lam.patches import Patch, patch_around
from promptsr.inference.upscaler import Progress
from promptsr.support.progress import map_progress
from promptsr.zoo.sr_model import SRModel, common_scale


@dataclass(frozen=True)
class Attributing:
    """Event: progress of the map of a model."""

    model: str
    settings: PathSettings
    progress: Progress | None
    """Points of the path; None before the first."""


@dataclass(frozen=True, eq=False)
class Explanation:
    """Event and result: the maps of a window, a preview or those that were asked for."""

    comparison: Comparison
    """Results of the models on the patch."""
    patch: Patch
    attributions: tuple[Attribution, ...]
    """In the order of the models."""
    at_once: int

    @property
    def rows(self) -> list[dict[str, Any]]:
        """For each model the numbers of its map as plain values; window and patch are placed in the whole image.

        `psnr_y` (dB) and `ssim_y` are those of the window; None without HR image, and where they are not finite.
        """
        patch, scale, rows = self.patch, self.comparison.scale, []
        height, width = patch.lr.shape[2:]
        place = {
            "x": scale * patch.x + patch.region.x,
            "y": scale * patch.y + patch.region.y,
            "hr": patch.hr is not None,
            "at_once": self.at_once,
            "patch": {"x": patch.x, "y": patch.y, "width": width, "height": height},
        }
        scores = self.comparison.scores(patch.region) or [(math.nan, math.nan)] * len(self.attributions)
        for attribution, score in zip(self.attributions, scores, strict=True):
            psnr, ssim = (value if math.isfinite(value) else None for value in score)  # JSON has no others
            row = {**attribution.to_dict(), "psnr_y": psnr, "ssim_y": ssim}
            row["settings"] |= place
            rows.append(row)
        return rows

    def figure(self, name: str, names: Mapping[str, str] = MappingProxyType({})) -> Figure:
        """Draw all models in the manner of the paper's Fig. 7.

        Args:
            name: of the image.
            names: of models in the figure, by their own, for those that are called otherwise there.
        """
        return draw_lam(self.comparison.renamed(names), self.attributions, name)


def explain_window(
    models: Sequence[SRModel],
    lr: Tensor,
    region: Region,
    *,
    hr: Tensor | None = None,
    side: int | None = None,
    settings: PathSettings | None = None,
    preview: PathSettings | None = None,
    at_once: int = AT_ONCE,
) -> Generator[Comparing | Attributing | Explanation, None, Explanation]:
    """Upscale the patch around a window with each model, then attribute the window to the pixels of the patch.

    Closing the generator stops the work.

    Args:
        models: of one scale.
        lr: 1 x 3 x H x W in [0, 1].
        region: the window, in output pixels.
        hr: 1 x 3 x sH x sW in [0, 1], to score the results by.
        side: of the patch, in input pixels; None: the whole image.
        settings: of the path; by the adaptive rule if None.
        preview: coarser settings, for maps of all models that are yielded as an `Explanation` before the others.
        at_once: points of the path in one pass; memory grows with it.

    Raises:
        UserError: a model without gradients, models of several scales, a window that leaves the image or does not fit
            into the patch, impossible settings, or too little memory.
    """
    # Imported here because captum takes half a second that the page does not have when it opens.
    from analysis.lam.method import LocalAttributionMap

    methods = [LocalAttributionMap(model) for model in models]
    patch = patch_around(region, side or max(lr.shape[2:]), common_scale(models), lr, hr)
    height, width = patch.lr.shape[2:]
    for model in models:
        check_memory(model, height, width, at_once)
    comparison = yield from compare(models, patch.lr, patch.hr, tile="whole")

    def explain(settings: PathSettings) -> Generator[Attributing, None, Explanation]:
        attributions = []
        for method in methods:
            yield Attributing(method.name, settings, None)
            passes = method.stream(patch.lr, patch.region, settings, at_once=at_once)
            attributions.append((yield from map_progress(passes, partial(Attributing, method.name, settings))))
        return Explanation(comparison, patch, tuple(attributions), at_once)

    if preview is not None:
        yield (yield from explain(preview))
    return (yield from explain(settings or PathSettings()))
