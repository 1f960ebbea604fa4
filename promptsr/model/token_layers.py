"""Layers that treat every token alike, with the norm before them: in one pass by our kernels where nothing is trained.

The kernels have no gradient, and run no hook. Whoever wants one or the other gets the modules themselves.
"""

import torch
from torch import Tensor, nn

from promptsr.kernels import token_operators as kernels
from promptsr.kernels.calls import usable
from promptsr.model.feed_forward import FeedForward

_KNOWN = (nn.Linear, nn.LayerNorm, nn.GELU, FeedForward)
"""Analyses put other modules in the place of some."""


def project(x: Tensor, layer: nn.Linear, norm: nn.LayerNorm | None = None) -> Tensor:
    """layer(norm(x)): ... x in -> ... x out."""
    if _in_one_pass(x, layer, norm):
        weight, bias, epsilon = (None, None, 0.0) if norm is None else (norm.weight, norm.bias, norm.eps)
        return kernels.linear(x, weight, bias, epsilon, layer.weight, layer.bias)
    result: Tensor = layer(x if norm is None else norm(x))
    return result


def feed_forward(x: Tensor, norm: nn.LayerNorm, network: FeedForward) -> Tensor:
    """FFN(LN(x)) + x: ... x C -> the same (eq. 12, 14 and 16)."""
    if _in_one_pass(x, norm, network, *network):
        first, _, second = network
        weights = norm.weight, norm.bias, norm.eps, first.weight, first.bias, second.weight, second.bias
        return kernels.feed_forward(x, *weights)
    result: Tensor = network(norm(x)) + x
    return result


def _in_one_pass(x: Tensor, *modules: nn.Module | None) -> bool:
    """Whether the kernels may replace these modules, of known types: nobody watches them, or wants gradients."""
    if not usable(x) or x.dtype != torch.float32:
        return False
    present = [module for module in modules if module is not None]
    if any(type(module) not in _KNOWN or module._forward_hooks or module._forward_pre_hooks for module in present):
        return False
    if any(isinstance(module, nn.LayerNorm) and module.bias is None for module in present):
        return False  # to the kernels that would be no norm at all
    tensors = [x, *(parameter for module in present for parameter in module.parameters())]
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))
