"""Exact Jacobian of a layer's attention branch, beside its maps: what the prompt of a pixel really depends on.

branch = attention_branch(network, image, group=3, block=1)
rank_correlation(maps.composed(40, 24), branch.norm(40, 24))
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from analysis.attention.maps import AttentionMaps, check_anchors, check_block
from analysis.attention.weight_maps import WeightMap, weight_map
from analysis.common.token_grid import TokenGrid
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.network import PromptSR


@dataclass(frozen=True, eq=False)
class AttentionBranch:
    """The attention branch of one global anchor prompting layer at work on an image.

    Its output is X_p before the residual, Proj(SoftMax(M_fine) V_p) of eq. 10 and 11; its input X is all that varies,
    the anchor prompts of the block before are held constant.
    """

    grid: TokenGrid
    layer_input: Tensor
    """X, 1 x H x W x C on the padded image."""
    output: Tensor
    """HW x C, attached to the graph from `layer_input`; attention is fused there, so that no map is stored."""

    def jacobian(self, x: int, y: int) -> Tensor:
        """How the branch's output at a pixel changes with every token of the input: C x HW x C, padded.

        C passes back through the layer, one after the other: batched they were no faster.
        """
        return torch.stack(list(self._gradients(x, y)))

    def norm(self, x: int, y: int) -> WeightMap:
        """Frobenius norm of the Jacobian's C x C block for each source pixel: H x W."""
        squares = torch.zeros(self.grid.tokens, device=self.output.device)
        for gradient in self._gradients(x, y):
            squares += gradient.square().sum(1)  # HW x C -> HW
        return weight_map(self.grid, squares.sqrt())

    def _gradients(self, x: int, y: int) -> Iterator[Tensor]:
        """For each output channel, HW x C."""
        self.grid.check_pixel(x, y)
        for value in self.output[self.grid.index(x, y)]:
            [gradient] = torch.autograd.grad(value, self.layer_input, retain_graph=True)
            yield gradient[0].flatten(0, 1)  # 1 x H x W x C -> HW x C


def attention_branch(network: PromptSR, image: Tensor, *, group: int, block: int) -> AttentionBranch:
    """Sends an image through the network, and what reaches one layer through the attention branch of that layer.

    Args:
        network: in evaluation mode, on the device of `image`.
        image: 1 x 3 x H x W in [0, 1].
        group: residual group, from 0.
        block: cascade prompting block in the group, from 0.

    Raises:
        UserError: no such group or block, or the network was built without anchor prompting.
    """
    check_block(network.config, group, block)
    check_anchors(network.config)
    layer = network.get_submodule(f"groups.{group}.blocks.{block}.global_prompting")
    assert isinstance(layer, GlobalAnchorPromptingLayer)
    given: list[Any] = []  # X and the anchor prompts of the block before
    handle = layer.register_forward_pre_hook(lambda _module, args: given.extend(args))
    try:
        with torch.no_grad():
            network(image)
    finally:
        handle.remove()
    x, previous = given
    x = x.detach().requires_grad_()
    return AttentionBranch(TokenGrid(network.config, *image.shape[2:]), x, attend_to_anchors(layer, x, previous))


def attend_to_anchors(layer: GlobalAnchorPromptingLayer, x: Tensor, previous: Tensor | None) -> Tensor:
    """The attention branch of a layer, from its own forward pass: x, 1 x H x W x C -> HW x C."""
    out: list[Tensor] = []

    def keep(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> None:
        out.append(output)

    handle = layer.projection.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            layer(x, previous)
    finally:
        handle.remove()
    return out[0][0]


def rank_correlation(composed: WeightMap, norm: WeightMap) -> float:
    """Spearman's rank correlation of two maps over the pixels of the image; NaN if one of them is constant."""
    maps = [weights.values.ravel() for weights in (composed, norm)]
    return float("nan") if min(map(np.ptp, maps)) == 0 else float(spearmanr(*maps).statistic)


def rank_correlations(maps: AttentionMaps, branch: AttentionBranch, pixels: Sequence[tuple[int, int]]) -> np.ndarray:
    """Return the rank correlation of the composed map with the Jacobian's norm for each of some pixels (x, y)."""
    return np.array([rank_correlation(maps.composed(*pixel), branch.norm(*pixel)) for pixel in pixels])
