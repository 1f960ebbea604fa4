"""Effect of a change of the input, or inside a network, on one window of the result, with a sign."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.common.image_windows import Region
from analysis.lam.method import LocalAttributionMap
from promptsr.evaluation.stability import moved
from promptsr.imaging.metrics import psnr_y
from promptsr.zoo.sr_model import SRModel

STEP = 1e-4
"""By how much the input moves to find the noise: a fortieth of a grey level, which no 8-bit file can show."""
DRAWS = 20
"""Random moves. A square without a real effect exceeds the largest of them once in 21 times."""


@dataclass(frozen=True)
class Effect:
    """Effect of a change on a window, against the result without the change."""

    change: float
    """Root mean square of the window's difference, in grey levels (of 255)."""
    psnr_lost: float
    """PSNR-Y of the window without the change less that with it, in dB; NaN without HR image. Positive: what was taken
    away helps the window. Negative: it hurts the window."""
    detector_lost: float
    """The detector of LAM without the change less that with it. Positive: what was taken away adds to the variation of
    the window, as positive attributions do."""


@dataclass(frozen=True)
class Noise:
    """Noise floor of a window: the largest effects of inputs that are moved by next to nothing.

    PromptSR sorts pixels into categories, so that any change anywhere can make its result jump.
    """

    change: float
    """As `Effect.change`."""
    psnr: float
    """Largest |psnr_lost| of `Effect`; NaN without HR image."""

    @classmethod
    def of(cls, effects: Iterable[Effect]) -> "Noise":
        """Return the largest of these effects, of which there is one at least."""
        changes, losses = zip(*((effect.change, abs(effect.psnr_lost)) for effect in effects), strict=True)
        return cls(max(changes), max(losses))


class WindowProbe:
    """Compare windows of changed results with the window that a model makes of an unchanged input.

    PSNR is taken before the result is rounded to 8 bits: rounding would hide small effects and their signs.

    Args:
        model: with gradients, because the detector is that of LAM.
        lr: 1 x 3 x H x W in [0, 1].
        region: the window, in output pixels.
        hr: 1 x 3 x sH x sW in [0, 1], for PSNR.

    Raises:
        UserError: the model gives no gradients, or the window leaves the result.
    """

    def __init__(self, model: SRModel, lr: Tensor, region: Region, hr: Tensor | None = None) -> None:
        self._method, self._region = LocalAttributionMap(model), region
        self._model, self._lr = model, lr
        self._hr = None if hr is None else region.crop(hr)
        with torch.no_grad():
            output = model(lr)
        self._detector = float(self._method.variation(output, region))
        self._window = region.crop(output)
        self._psnr = self._psnr_of(self._window)

    def effect(self, output: Tensor) -> Effect:
        """Return the effect that is seen in a changed result, 1 x 3 x sH x sW."""
        window = self._region.crop(output)
        change = 255 * float((window - self._window).square().mean().sqrt())
        psnr = self._psnr_of(window)
        lost = 0.0 if psnr == self._psnr else self._psnr - psnr  # two windows equal to HR: both infinite
        return Effect(change, lost, self._detector - float(self._method.variation(output, self._region)))

    def moved_effects(self, draws: int = DRAWS) -> Iterator[Effect]:
        """Yield the effect of moving every value of the input by `STEP`, up or down at random, one draw at a time."""
        for seed in range(draws):
            with torch.no_grad():
                output = self._model(moved(self._lr, STEP, seed))
            yield self.effect(output)

    def _psnr_of(self, window: Tensor) -> float:
        return math.nan if self._hr is None else psnr_y(window.clamp(0, 1), self._hr, 0)
