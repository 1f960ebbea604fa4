"""Exact Jacobian of a layer's attention branch: the true dependency of a prompt, to compare with attention maps.

branch = attention_branch(network, image, group=3, block=1)
rank_correlation(maps.composed(40, 24), branch.norm(40, 24))
"""

from dataclasses import dataclass

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from analysis.attention.maps import check_anchors, check_block
from analysis.attention.weight_maps import WeightMap, weight_map
from analysis.common.module_flow import record_modules
from analysis.common.token_grid import TokenGrid
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

    def norm(self, x: int, y: int) -> WeightMap:
        """Return the Frobenius norm of the Jacobian's C x C block for each source pixel: H x W.

        C passes go back through the layer, one after the other: batched they were no faster.
        """
        self.grid.check_pixel(x, y)
        squares = torch.zeros(self.grid.tokens, device=self.output.device)
        for value in self.output[self.grid.index(x, y)]:
            [gradient] = torch.autograd.grad(value, self.layer_input, retain_graph=True)
            squares += gradient[0].square().sum(2).flatten()  # 1 x H x W x C -> HW
        return weight_map(self.grid, squares.sqrt())


def attention_branch(network: PromptSR, image: Tensor, *, group: int, block: int) -> AttentionBranch:
    """Send an image through the network, and what reaches one layer through the attention branch of that layer.

    Arguments are those of `maps.look`.

    Raises:
        UserError: no such group or block, or the network was built without anchor prompting.
    """
    check_block(network.config, group, block)
    check_anchors(network.config)
    path = f"groups.{group}.blocks.{block}.global_prompting"
    with record_modules(network, {"layer": path}) as seen, torch.no_grad():
        network(image)
    x, previous = seen["layer"].inputs  # the latter: anchor prompts of the block before
    x = x.detach().requires_grad_()
    output = attend_to_anchors(network.get_submodule(path), x, previous)
    return AttentionBranch(TokenGrid(network.config, *image.shape[2:]), x, output)


def attend_to_anchors(layer: nn.Module, x: Tensor, previous: Tensor | None) -> Tensor:
    """Return the output of the attention branch in a forward pass of a layer: x, 1 x H x W x C -> HW x C."""
    with record_modules(layer, {"branch": "projection"}) as seen, torch.enable_grad():
        layer(x, previous)
    output: Tensor = seen["branch"].output
    return output[0]


def rank_correlation(composed: WeightMap, norm: WeightMap) -> float:
    """Return Spearman's rank correlation of two maps over the pixels of the image; NaN if one of them is constant."""
    maps = [weights.values.ravel() for weights in (composed, norm)]
    return float("nan") if min(map(np.ptp, maps)) == 0 else float(scipy.stats.spearmanr(*maps).statistic)
