"""Causes of a window with their sign, for several models: squares of the input, and parts of a PromptSR.

causes = finish(find_causes([load_model("promptsr-x4")], lr, Region(x=120, y=88, size=16), hr=hr, side=64))
causes.squares, causes.interventions
"""

from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pandas as pd
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparing
from analysis.lam.interventions import can_intervene, check_other, intervene
from analysis.lam.occlusion import SIDE, WAYS, Occlusion, occlude
from analysis.lam.patches import patch_around
from analysis.lam.run import Attributing, Explanation, explain_window
from analysis.lam.window_effect import STEP
from promptsr.inference.upscaler import Progress
from promptsr.support.files import finite
from promptsr.support.progress import map_progress
from promptsr.zoo.sr_model import SRModel, common_scale

CONTROL = f"control: input moved by {STEP:g}"
_COLUMNS = ["model", "intervention", "change", "psnr_lost", "detector_lost"]


@dataclass(frozen=True)
class Finding:
    """Event: progress of one part of the work on a model."""

    model: str
    part: str
    """The part at work: result, map, squares or interventions."""
    progress: Progress | None
    """None before the first pass."""


@dataclass(frozen=True, eq=False)
class Causes:
    """Causes of a window: squares and parts that help or hurt it."""

    explanation: Explanation
    """Results, HR image, window and maps."""
    occlusions: tuple[Occlusion, ...]
    """In the order of the models."""
    interventions: pd.DataFrame
    """A row per PromptSR with anchor prompting and intervention: model, and the columns of `intervene`; empty without
    such a model. The first intervention is `CONTROL`, with the largest change and the largest |psnr_lost| of `Noise`;
    what does not exceed it is no finding."""

    @property
    def squares(self) -> pd.DataFrame:
        """Return the rows of all models, see `Occlusion.effects`, with squares placed in the whole image."""
        patch = self.explanation.patch
        table = pd.concat([each.effects.assign(model=each.model) for each in self.occlusions], ignore_index=True)
        table = table.assign(x=table["x"] + patch.x, y=table["y"] + patch.y)
        return table[["model", *(name for name in table if name != "model")]]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Return a row per model and way with the numbers of a table: model, way, and those of `Occlusion.summary`."""
        return [{"model": each.model, "way": way, **each.summary(way)} for each in self.occlusions for way in WAYS]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None for numbers that do not exist. The window lies in the whole image."""
        patch, scale = self.explanation.patch, self.explanation.comparison.scale
        window = asdict(patch.region)
        window |= {"x": window["x"] + scale * patch.x, "y": window["y"] + scale * patch.y}
        values: dict[str, Any] = finite(
            {
                "scale": scale,
                "window": window,
                "hr": patch.hr is not None,
                "patch": {"x": patch.x, "y": patch.y, "width": patch.lr.shape[3], "height": patch.lr.shape[2]},
                "side": self.occlusions[0].side,
                "noise": {each.model: asdict(each.noise) for each in self.occlusions},
                "squares": self.rows,
                "interventions": self.interventions.to_dict("records"),
                "maps": self.explanation.rows,
            }
        )
        return values


def find_causes(
    models: Sequence[SRModel],
    lr: Tensor,
    region: Region,
    *,
    hr: Tensor | None = None,
    side: int | None = None,
    square: int = SIDE,
    other: Tensor | None = None,
    seed: int = 0,
) -> Generator[Finding, None, Causes]:
    """Replace squares of the patch around a window and parts inside networks; closing the generator stops the work.

    Args:
        models: of one scale, with gradients.
        lr: 1 x 3 x H x W in [0, 1].
        region: the window, in output pixels.
        hr: 1 x 3 x sH x sW in [0, 1]; without it effects have no sign.
        side: of the patch, in input pixels; None: the whole image.
        square: side of the squares, in input pixels.
        other: another image of the size of the patch, whose anchor prompts are put in too.
        seed: of what is drawn in interventions.

    Raises:
        UserError: as `explain_window`, `occlude` and `intervene`.
    """

    def tell(step: Comparing | Attributing | Explanation) -> Finding:
        assert not isinstance(step, Explanation)  # no preview is asked for
        return Finding(step.model, "result" if isinstance(step, Comparing) else "map", step.progress)

    check_other(other, patch_around(region, side or max(lr.shape[2:]), common_scale(models), lr).lr)
    explanation = yield from map_progress(explain_window(models, lr, region, hr=hr, side=side), tell)
    patch = explanation.patch
    occlusions, tables = [], []
    for model, attribution in zip(models, explanation.attributions, strict=True):
        work = occlude(model, patch.lr, attribution, patch.hr, side=square)
        occlusions.append((yield from map_progress(work, partial(Finding, model.name, "squares"))))
        if can_intervene(model):
            inside = intervene(model, patch.lr, patch.region, patch.hr, other=other, seed=seed)
            table = yield from map_progress(inside, partial(Finding, model.name, "interventions"))
            noise = occlusions[-1].noise
            control = {"intervention": CONTROL, "change": noise.change, "psnr_lost": noise.psnr}
            tables.append(pd.concat([pd.DataFrame([control]), table]).assign(model=model.name))
    inner = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=_COLUMNS)
    return Causes(explanation, tuple(occlusions), inner[_COLUMNS])
