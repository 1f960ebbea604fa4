"""Layers that treat every token alike, with the norm before them and the sum after them: in one pass by our kernels.

The kernels run no hooks. With hooks, on another device or in another precision the plain modules run.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from promptsr.kernels import token_operators as kernels
from promptsr.kernels.calls import usable


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Leave autocast: within this context layers compute in the precision of x and of their weights."""
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


class FeedForward(nn.Sequential):
    """The feed-forward network (FFN) of eq. 12, 14 and 16: linear, GELU, linear on the last dimension, ... x C."""

    def __init__(self, channels: int, ratio: float) -> None:
        hidden = round(channels * ratio)
        super().__init__(nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels))


_KNOWN = (nn.Linear, nn.LayerNorm, nn.GELU, FeedForward)
"""Modules that the kernels know; analyses put others in their place."""


def project(x: Tensor, layer: nn.Linear, norm: nn.LayerNorm | None = None, rest: Tensor | None = None) -> Tensor:
    """Compute layer(norm(x)) + rest: x: ... x in, rest: ... x out -> ... x out."""
    if _in_one_pass(x, layer, norm):
        weight, bias, epsilon = (None, None, 0.0) if norm is None else (norm.weight, norm.bias, norm.eps)
        return kernels.linear(x, weight, bias, epsilon, layer.weight, layer.bias, rest)
    result: Tensor = layer(x if norm is None else norm(x))
    return result if rest is None else result + rest


def feed_forward(x: Tensor, norm: nn.LayerNorm, network: FeedForward) -> Tensor:
    """Compute FFN(LN(x)) + x: ... x C -> the same (eq. 12, 14 and 16)."""
    if _in_one_pass(x, norm, network, *network):
        first, _, second = network
        weights = norm.weight, norm.bias, norm.eps, first.weight, first.bias, second.weight, second.bias
        return kernels.feed_forward(x, *weights)
    result: Tensor = network(norm(x)) + x
    return result


def _in_one_pass(x: Tensor, *modules: nn.Module | None) -> bool:
    """Return whether the kernels may replace these modules: known types in float32, without hooks."""
    if not usable(x):
        return False
    present = [module for module in modules if module is not None]
    if any(type(module) not in _KNOWN or module._forward_hooks or module._forward_pre_hooks for module in present):
        return False
    if any(isinstance(module, nn.LayerNorm) and module.bias is None for module in present):
        return False  # the kernels take a norm without a bias for none
    tensors = [x, *(parameter for module in present for parameter in module.parameters())]
    return all(tensor.dtype == torch.float32 for tensor in tensors)
