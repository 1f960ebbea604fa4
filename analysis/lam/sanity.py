"""Does a local attribution map show what the network learned? Its weights are shuffled, layer by layer from the end.

J. Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018: a map that stays the same shows the architecture.
"""

from collections.abc import Generator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.common.rank_correlation import rank_correlation_of_parts
from analysis.lam.attribution import AT_ONCE, PathSettings
from analysis.lam.method import LocalAttributionMap
from promptsr.inference.upscaler import Progress
from promptsr.zoo.sr_model import SRModel

STAGES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the layers, from the last one on, whose weights are shuffled."""
ALIKE = 0.7
"""Rank correlation from which on two maps count as the same."""


@dataclass(frozen=True)
class Sanity:
    """How much of a map is left as the network's weights are shuffled."""

    model: str
    shares: tuple[float, ...]
    """Shares of the layers that are shuffled."""
    correlations: tuple[float, ...]
    """Rank correlation (Spearman) of the map with that of the network as it is, over the pixels that have a share in
    either; NaN where one is constant there."""

    @property
    def learned(self) -> bool:
        """True if the map shows what was learned: with all weights shuffled it is another one."""
        return not self.correlations[-1] >= ALIKE

    @property
    def sentence(self) -> str:
        """Say so."""
        found = f"(rank correlation {self.correlations[-1]:.2f})"
        if self.learned:
            return f"With shuffled weights the map is another one {found}: it shows what the network learned."
        return f"With shuffled weights the map is nearly the same {found}: it shows the architecture and the window."


def check_sanity(
    model: SRModel,
    lr: Tensor,
    region: Region,
    *,
    stages: Sequence[float] = STAGES,
    seed: int = 0,
    at_once: int = AT_ONCE,
) -> Generator[Progress, None, Sanity]:
    """Compare the map of a window with those of networks with shuffled weights; closing it stops the work.

    The values of each tensor are permuted, so that their distribution stays.

    Args:
        model: with gradients; it stays as it is.
        lr: 1 x 3 x H x W in [0, 1].
        region: the window, in output pixels.
        stages: shares of the layers, from the last one on, rising to 1.
        seed: of the permutations.
        at_once: as in `LocalAttributionMap.stream`.

    Yields:
        Maps that are done.

    Raises:
        UserError: the model gives no gradients, or the window leaves the result.
    """
    shuffled = deepcopy(model.network)
    layers = _in_order(shuffled, lr)
    chance = torch.Generator().manual_seed(seed)
    settings = PathSettings.quick()
    reference = LocalAttributionMap(model).explain(lr, region, settings, at_once=at_once).map
    yield Progress(1, len(stages) + 1)
    correlations, done = [], 0
    for count, share in enumerate(stages, start=2):
        until = round(share * len(layers))
        for layer in layers[done:until]:
            for weight in layer.parameters(recurse=False):
                order = torch.randperm(weight.numel(), generator=chance).to(weight.device)
                weight.data = weight.data.flatten()[order].view_as(weight)
        done = until
        method = LocalAttributionMap(replace(model, network=shuffled))
        found = method.explain(lr, region, settings, at_once=at_once).map
        correlations.append(rank_correlation_of_parts(reference, found))
        yield Progress(count, len(stages) + 1)
    return Sanity(model.name, tuple(stages), tuple(correlations))


def _in_order(network: nn.Module, lr: Tensor) -> list[nn.Module]:
    """Return the modules that have weights of their own, the last one to be called first; uncalled ones at the end."""
    layers = [module for module in network.modules() if any(True for _ in module.parameters(recurse=False))]
    called: list[nn.Module] = []
    handles = [layer.register_forward_pre_hook(lambda module, _: called.append(module)) for layer in layers]
    try:
        with torch.no_grad():
            network(lr)
    finally:
        for handle in handles:
            handle.remove()
    last = {id(module): place for place, module in enumerate(called)}
    return sorted(layers, key=lambda layer: -last.get(id(layer), -1))
