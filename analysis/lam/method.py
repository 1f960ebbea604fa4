"""Local attribution maps: which input pixels made this window of the result? (Gu and Dong, CVPR 2021.)

lam = LocalAttributionMap(load_model("promptsr-x4"))
attribution = lam.explain(image, Region(x=120, y=88, size=16))
attribution.map  # H x W in [0, 1]
"""

import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.lam.attribution import AT_ONCE, Attribution, PathSettings
from analysis.lam.blur_path import BlurPath
from promptsr.inference.upscaler import Progress
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish
from promptsr.zoo.sr_model import SRModel

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "IProgress not found")  # of tqdm, which captum loads and we do not use
    from captum.attr import GradientAttribution
    from captum.log import log_usage

_EPSILON = 1e-12  # keeps the slope of the square root finite where the result is flat
_COARSEST = 8  # steps that the adaptive rule begins with at least
_USUAL = 32  # steps that mostly are enough
_SMALL_GAP = 0.02  # the completeness gap that the adaptive rule aims at
_SMALL_CHANGE = 0.05  # of the map between two levels, as a share of it


class LocalAttributionMap(GradientAttribution):
    """LAM of a super-resolution model, as an attribution method of captum: gradients along a path of ever less blur.

    The rule "adaptive" takes steps twice as fine, the points so far among them, until the map moves by less than 5 %
    and either the completeness gap is below 2 % or it no longer moves by a tenth of itself: what remains are jumps.

    Args:
        model: a model of the zoo, or any module B x 3 x H x W -> B x 3 x sH x sW for a whole s.
        name: what to call a bare module.

    Raises:
        UserError: the model gives no gradients.
    """

    def __init__(self, model: SRModel | nn.Module, name: str = "") -> None:
        if isinstance(model, SRModel) and not model.differentiable:
            raise UserError(f"{model.name} gives no gradients, so it has no LAM: choose a PyTorch model.")
        self.network = model.network if isinstance(model, SRModel) else model
        self.name = name or (model.name if isinstance(model, SRModel) else type(model).__name__)
        super().__init__(self.detect)

    def detect(self, image: Tensor, region: Region) -> Tensor:
        """D: how much the result varies in a window, the sum of its gradient's length by forward differences.

        Args:
            image: B x 3 x H x W in [0, 1].
            region: in output pixels; the row below and the column right of it are read too.

        Returns:
            B.

        Raises:
            UserError: the model returned something else than an enlarged image, or the window does not lie in it.
        """
        output = self.network(image)
        self._scale(image, output)
        return self.variation(output, region)

    def variation(self, output: Tensor, region: Region) -> Tensor:
        """Return the detector of results B x 3 x sH x sW: B."""
        region.check(output.shape[2], output.shape[3], margin=1)
        window = Region(region.x, region.y, region.size + 1).crop(output)
        down, right = window.diff(dim=2)[..., :-1], window.diff(dim=3)[..., :-1, :]
        return (down.square() + right.square() + _EPSILON).sqrt().sum((1, 2, 3))

    @log_usage()  # does nothing, but captum's NoiseTunnel looks for what it wraps
    def attribute(
        self,
        inputs: Tensor,
        region: Region,
        settings: PathSettings | None = None,
        return_convergence_delta: bool = False,
        *,
        at_once: int = AT_ONCE,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Attribute a window of the result to the pixels of the input, as captum's methods do.

        Args:
            inputs: B x 3 x H x W in [0, 1], on the device of the model; one image after the other is attributed.
            region: as in `stream`.
            settings: as in `stream`.
            return_convergence_delta: also return by how much the attributions of each image exceed the change of the
                detector that they must add up to.
            at_once: as in `stream`.

        Returns:
            Signed attributions, B x 3 x H x W, and if asked for the deltas, B.

        Raises:
            UserError: as `stream`.
        """
        found = [self.explain(image, region, settings, at_once=at_once) for image in inputs.detach().split(1)]
        values = torch.stack([torch.from_numpy(each.values) for each in found]).to(inputs)
        if not return_convergence_delta:
            return values
        changes = torch.tensor([each.detector - each.detector_blurred for each in found])
        return values, values.sum((1, 2, 3)) - changes.to(inputs)

    def has_convergence_delta(self) -> bool:
        """Return True: `attribute` can tell how exact it is."""
        return True

    @property
    def multiplies_by_inputs(self) -> bool:
        """True: attributions are parts of the detector's change, and no gradients."""
        return True

    def explain(
        self, image: Tensor, region: Region, settings: PathSettings | None = None, *, at_once: int = AT_ONCE
    ) -> Attribution:
        """Attribute one image in one go; see `stream`."""
        return finish(self.stream(image, region, settings, at_once=at_once))

    def stream(
        self, image: Tensor, region: Region, settings: PathSettings | None = None, *, at_once: int = AT_ONCE
    ) -> Generator[Progress, None, Attribution]:
        """Attribute a window of the result to the pixels of the input, yielding after each pass.

        Closing the generator stops the work. Between passes the model is as it was before.

        Args:
            image: 1 x 3 x H x W in [0, 1], on the device of the model.
            region: the window, in output pixels; it ends at least one pixel before the right and bottom border.
            settings: how the path is followed; by the adaptive rule if None.
            at_once: points of the path in one pass; memory grows with it.

        Yields:
            Points that are done, of all that will be needed as far as is known.

        Raises:
            UserError: an impossible setting or window, an image too small, or a model that does not enlarge.
        """
        if at_once < 1:
            raise ConfigError(f"At least 1 point of the path must be done at once, not {at_once}.")
        begun = time.perf_counter()
        settings = settings or PathSettings()
        levels = {steps: BlurPath(image, replace(settings, steps=steps)) for steps in _levels(settings)}
        with torch.no_grad(), _evaluating(self.network):
            ends = levels[settings.steps].points([0, settings.steps])
            output = self.network(ends)
            scale = self._scale(ends, output)
            blurred, sharp = self.variation(output, region).tolist()
        gradients: dict[int, Tensor] = {}
        """By their place on the finest path, each 3 x H x W."""
        attribution: Attribution | None = None
        usual = next((len(each.needed()) for steps, each in levels.items() if steps >= _USUAL), 0)
        for steps, level in levels.items():
            needed, stride = level.needed(), settings.steps // steps
            missing = [i for i in needed if i * stride not in gradients]
            for start in range(0, len(missing), at_once):
                part = missing[start : start + at_once]
                with _evaluating(self.network):
                    [found] = self.gradient_func(self.detect, (level.points(part).requires_grad_(),), None, (region,))
                gradients |= dict(zip((i * stride for i in part), found, strict=True))
                yield Progress(len(gradients), max(usual, len(needed)))
            values = sum((gradients[i * stride] * level.weights([i])[0] for i in needed), torch.zeros_like(image[0]))
            before, sums = attribution, attribution.levels if attribution else ()
            sums = (*sums, (steps, float(values.sum(dtype=torch.float64))))
            array, seconds = values.cpu().numpy(), time.perf_counter() - begun
            attribution = Attribution(self.name, scale, region, settings, array, sharp, blurred, seconds, sums)
            if before is not None and _enough(before, attribution):
                break
        assert attribution is not None  # there is one level at least
        return attribution

    def _scale(self, image: Tensor, output: Tensor) -> int:
        """Return how many times larger the output is."""
        scale = output.shape[-1] // image.shape[-1] if output.ndim == 4 else 0
        if scale < 1 or output.shape != (*image.shape[:2], scale * image.shape[2], scale * image.shape[3]):
            raise UserError(
                f"{self.name} made {tuple(output.shape)} of {tuple(image.shape)}: LAM needs a model whose output is "
                "the image, enlarged by a whole number."
            )
        return scale


def _levels(settings: PathSettings) -> list[int]:
    """Return the numbers of steps to take one after the other: each half of the next."""
    levels = [settings.steps]
    while settings.rule == "adaptive" and levels[0] % 2 == 0 and levels[0] // 2 >= _COARSEST:
        levels.insert(0, levels[0] // 2)
    return levels


def _enough(coarse: Attribution, fine: Attribution) -> bool:
    """Return whether steps twice as fine as these would not change the map by much."""
    maps = [np.abs(each.values.sum(axis=0)) for each in (coarse, fine)]
    if np.abs(maps[1] - maps[0]).sum() > _SMALL_CHANGE * maps[1].sum():
        return False
    gap, moved = fine.completeness_gap, fine.integration_error
    return gap is None or moved is None or abs(gap) < _SMALL_GAP or moved < abs(gap) / 10


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Put the network into evaluation mode, and each part back into its own mode afterwards."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
