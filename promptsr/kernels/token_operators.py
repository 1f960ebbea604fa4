"""Linear layers and the feed-forward network as torch operators, one pass over the tokens each. They have no gradient.

Float32 tensors on the CPU only.
"""

import ctypes
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from promptsr.kernels.calls import call, operator, pointer


class _Linear(ctypes.Structure):
    """`Linear` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("in", ctypes.c_int64), ("out", ctypes.c_int64))


class _Norm(ctypes.Structure):
    """`Norm` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("epsilon", ctypes.c_double))


def _linear(weight: Tensor, bias: Tensor | None) -> _Linear:
    """Points to the tensors, and does not keep them alive."""
    out, into = weight.shape
    return _Linear(pointer(weight), pointer(bias), into, out)


@operator()
def linear(
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    epsilon: float,
    weight: Tensor,
    bias: Tensor | None,
) -> Tensor:
    """A linear layer, after a layer norm if that has weights.

    Args:
        x: ... x in.
        norm_weight: in, or None for no norm at all.
        norm_bias: in, together with `norm_weight`.
        epsilon: added to the variance by the norm.
        weight: out x in, contiguous as all that follow.
        bias: out.

    Returns:
        ... x out.
    """
    x = x.contiguous()
    out = x.new_empty(*x.shape[:-1], len(weight))
    norm = _Norm(pointer(norm_weight), pointer(norm_bias), epsilon)
    call("linear", x, x[..., 0].numel(), norm, _linear(weight, bias), out)
    return out


@torch.library.register_fake("promptsr::linear")
def _(
    x: Tensor,
    _norm_weight: Tensor | None,
    _norm_bias: Tensor | None,
    _epsilon: float,
    weight: Tensor,
    _bias: Tensor | None,
) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


@register_flop_formula(torch.ops.promptsr.linear)
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    weight = rest[3]
    return 2 * prod(x) * weight[0]


@operator()
def feed_forward(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    epsilon: float,
    weight: Tensor,
    bias: Tensor,
    second_weight: Tensor,
    second_bias: Tensor,
) -> Tensor:
    """x + FFN(LN(x)) with an FFN of linear, GELU, linear.

    Args:
        x: ... x C.
        norm_weight: C.
        norm_bias: C.
        epsilon: added to the variance by the norm.
        weight: hidden x C, contiguous as all that follow.
        bias: hidden.
        second_weight: C x hidden.
        second_bias: C.

    Returns:
        ... x C.
    """
    x = x.contiguous()
    out = torch.empty_like(x)
    norm = _Norm(pointer(norm_weight), pointer(norm_bias), epsilon)
    layers = _linear(weight, bias), _linear(second_weight, second_bias)
    call("feed_forward", x, x[..., 0].numel(), norm, *layers, out)
    return out


@torch.library.register_fake("promptsr::feed_forward")
def _(x: Tensor, *_rest: object) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@register_flop_formula(torch.ops.promptsr.feed_forward)
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    weight = rest[3]
    return 2 * 2 * prod(x) * weight[0]
