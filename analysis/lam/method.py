"""Local attribution maps: which input pixels made this window of the result? (Gu and Dong, CVPR 2021.)

lam = LocalAttributionMap(load_model("promptsr-tiny-x4"))
attribution = lam.explain(image, Region(x=120, y=88, size=16))
attribution.map  # H x W in [0, 1]
"""

import time
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager

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


class LocalAttributionMap(GradientAttribution):
    """LAM of a super-resolution model, as an attribution method of captum: gradients along a path of ever less blur.

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
        return self._variation(output, region)

    def _variation(self, output: Tensor, region: Region) -> Tensor:
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
            settings: how the path is followed; as LAM's authors did if None.
            at_once: points of the path in one pass; memory grows with it.

        Raises:
            UserError: an impossible setting or window, an image too small, or a model that does not enlarge.
        """
        if at_once < 1:
            raise ConfigError(f"At least 1 point of the path must be done at once, not {at_once}.")
        begun = time.perf_counter()
        settings = settings or PathSettings()
        path = BlurPath(image, settings)
        with torch.no_grad(), _evaluating(self.network):
            ends = path.points([0, settings.steps])
            output = self.network(ends)
            scale = self._scale(ends, output)
            blurred, sharp = self._variation(output, region).tolist()
        total = torch.zeros_like(image)
        needed = path.needed()
        for start in range(0, len(needed), at_once):
            part = needed[start : start + at_once]
            with _evaluating(self.network):
                [gradient] = self.gradient_func(self.detect, (path.points(part).requires_grad_(),), None, (region,))
            total += (gradient * path.weights(part)).sum(0, keepdim=True)
            yield Progress(start + len(part), len(needed))
        values = total[0].cpu().numpy()
        return Attribution(self.name, scale, region, settings, values, sharp, blurred, time.perf_counter() - begun)

    def _scale(self, image: Tensor, output: Tensor) -> int:
        """Return how many times larger the output is."""
        scale = output.shape[-1] // image.shape[-1] if output.ndim == 4 else 0
        if scale < 1 or output.shape != (*image.shape[:2], scale * image.shape[2], scale * image.shape[3]):
            raise UserError(
                f"{self.name} made {tuple(output.shape)} of {tuple(image.shape)}: LAM needs a model whose output is "
                "the image, enlarged by a whole number."
            )
        return scale


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
