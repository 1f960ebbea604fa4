"""Linear layers and the feed-forward network as torch operators with gradients, one pass over the tokens each.

Float32 tensors on the CPU only.
"""

import ctypes
from collections.abc import Iterable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from promptsr.kernels.calls import Structure, call, operator, pointer


class _Linear(Structure):
    """`Linear` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("in", ctypes.c_int64), ("out", ctypes.c_int64))


class _Norm(Structure):
    """`Norm` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("epsilon", ctypes.c_double))


class _Gradients(Structure):
    """`ToLinear` and `ToNorm` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


def _linear(weight: Tensor, bias: Tensor | None, into: int) -> _Linear:
    out = len(weight)
    return _Linear(pointer("weight", weight, (out, into)), pointer("bias", bias, (out,)), into, out)


def _norm(weight: Tensor | None, bias: Tensor | None, epsilon: float, c: int) -> _Norm:
    if (weight is None) != (bias is None):
        raise ValueError("A norm needs both a weight and a bias.")
    return _Norm(pointer("norm_weight", weight, (c,)), pointer("norm_bias", bias, (c,)), epsilon)


def _gradients(weight: Tensor, bias: Tensor, like: Tensor | None) -> _Gradients:
    """Return where to write the gradients of a weight of the shape of `like`; null for empty tensors."""
    shape = () if like is None else like.shape
    return _Gradients(
        pointer("to_weight", weight if weight.numel() else None, shape),
        pointer("to_bias", bias if bias.numel() else None, shape[:1]),
    )


def _empty(x: Tensor, likes: Iterable[Tensor | None], wanted: bool) -> list[Tensor]:
    """Return room for the gradients of these; empty tensors where a gradient is not wanted."""
    return [torch.empty_like(y) if wanted and y is not None else x.new_empty(0) for y in likes]


def _or_none(gradients: Iterable[Tensor], likes: Iterable[Tensor | None], wanted: bool) -> list[Tensor | None]:
    return [to if wanted and y is not None else None for to, y in zip(gradients, likes, strict=True)]


def _keep_linear(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, norm_weight, norm_bias, ctx.epsilon, weight, bias, _rest = inputs
    ctx.save_for_backward(x, norm_weight, norm_bias, weight, bias)


def _differentiate_linear(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:
    x, *weights = ctx.saved_tensors
    needed = [*ctx.needs_input_grad[1:3], *ctx.needs_input_grad[4:6]]
    to_x, *gradients = linear_backward(x, *weights, ctx.epsilon, to_out, any(needed))
    to_norm_weight, to_norm_bias, to_weight, to_bias = _or_none(gradients, weights, any(needed))
    to_rest = to_out if ctx.needs_input_grad[6] else None
    return to_x, to_norm_weight, to_norm_bias, None, to_weight, to_bias, to_rest


@operator(_differentiate_linear, _keep_linear)
def linear(
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    epsilon: float,
    weight: Tensor,
    bias: Tensor | None,
    rest: Tensor | None,
) -> Tensor:
    """A linear layer, after a layer norm if that has weights.

    Args:
        x: ... x in.
        norm_weight: in, or None for no norm at all.
        norm_bias: in, together with `norm_weight`.
        epsilon: added to the variance by the norm.
        weight: out x in, contiguous as all weights.
        bias: out.
        rest: added to the result, ... x out.

    Returns:
        ... x out.
    """
    x = x.contiguous()
    tokens, into = prod(x.shape[:-1]), x.shape[-1]
    out = x.new_empty(*x.shape[:-1], len(weight))
    rest = None if rest is None else rest.contiguous()
    call(
        "linear",
        pointer("x", x, x.shape),
        tokens,
        _norm(norm_weight, norm_bias, epsilon, into),
        _linear(weight, bias, into),
        pointer("rest", rest, out.shape),
        pointer("out", out, out.shape),
    )
    return out


@torch.library.register_fake("promptsr::linear")
def _(x: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(rest[3]))


@operator()
def linear_backward(
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    epsilon: float,
    to_out: Tensor,
    weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of `linear` to x and, if `weights` are wanted, to both weights of the norm and of the layer.

    Those that are not there or not wanted have no values. `to_out` is the gradient to the result.
    """
    x = x.contiguous()
    tokens, into = prod(x.shape[:-1]), x.shape[-1]
    to_x = torch.empty_like(x)
    gradients = _empty(x, (norm_weight, norm_bias, weight, bias), weights)
    call(
        "linear_backward",
        pointer("x", x, x.shape),
        tokens,
        _norm(norm_weight, norm_bias, epsilon, into),
        _linear(weight, bias, into),
        pointer("to_out", to_out.contiguous(), (*x.shape[:-1], len(weight))),
        pointer("to_x", to_x, x.shape),
        _gradients(gradients[0], gradients[1], norm_weight),
        _gradients(gradients[2], gradients[3], weight),
    )
    to_norm_weight, to_norm_bias, to_weight, to_bias = gradients
    return to_x, to_norm_weight, to_norm_bias, to_weight, to_bias


def _keep_feed_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, norm_weight, norm_bias, ctx.epsilon, *layers = inputs
    ctx.save_for_backward(x, norm_weight, norm_bias, *layers)


def _differentiate_feed_forward(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:
    x, *weights = ctx.saved_tensors
    wanted = any([*ctx.needs_input_grad[1:3], *ctx.needs_input_grad[4:]])
    to_x, *gradients = feed_forward_backward(x, *weights, ctx.epsilon, to_out, wanted)
    to_norm_weight, to_norm_bias, *to_layers = _or_none(gradients, weights, wanted)
    return to_x, to_norm_weight, to_norm_bias, None, *to_layers


@operator(_differentiate_feed_forward, _keep_feed_forward)
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
        weight: hidden x C, contiguous as all weights.
        bias: hidden.
        second_weight: C x hidden.
        second_bias: C.

    Returns:
        ... x C.
    """
    x = x.contiguous()
    tokens, c = prod(x.shape[:-1]), x.shape[-1]
    out = torch.empty_like(x)
    call(
        "feed_forward",
        pointer("x", x, x.shape),
        tokens,
        _norm(norm_weight, norm_bias, epsilon, c),
        *_two_layers(weight, bias, second_weight, second_bias, c),
        pointer("out", out, x.shape),
    )
    return out


def _two_layers(
    weight: Tensor, bias: Tensor, second_weight: Tensor, second_bias: Tensor, c: int
) -> tuple[_Linear, _Linear]:
    if len(second_weight) != c:
        raise ValueError(f"second_weight must have {c} rows, not {len(second_weight)}.")
    return _linear(weight, bias, c), _linear(second_weight, second_bias, len(weight))


@torch.library.register_fake("promptsr::feed_forward")
def _(x: Tensor, *_rest: object) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@operator()
def feed_forward_backward(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    bias: Tensor,
    second_weight: Tensor,
    second_bias: Tensor,
    epsilon: float,
    to_out: Tensor,
    weights: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of `feed_forward` to x and, if they are wanted, to all weights (else these have no values)."""
    x = x.contiguous()
    tokens, c = prod(x.shape[:-1]), x.shape[-1]
    to_x = torch.empty_like(x)
    gradients = _empty(x, (norm_weight, norm_bias, weight, bias, second_weight, second_bias), weights)
    call(
        "feed_forward_backward",
        pointer("x", x, x.shape),
        tokens,
        _norm(norm_weight, norm_bias, epsilon, c),
        *_two_layers(weight, bias, second_weight, second_bias, c),
        pointer("to_out", to_out.contiguous(), x.shape),
        pointer("to_x", to_x, x.shape),
        _gradients(gradients[0], gradients[1], norm_weight),
        _gradients(gradients[2], gradients[3], weight),
        _gradients(gradients[4], gradients[5], second_weight),
    )
    return to_x, *gradients  # type: ignore[return-value]


@torch.library.register_fake("promptsr::linear_backward")
@torch.library.register_fake("promptsr::feed_forward_backward")
def _(x: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    *likes, _epsilon, _to_out, weights = rest
    return torch.empty_like(x, memory_format=torch.contiguous_format), *_empty(x, likes, weights)


# For torch's flop counter: backward one product for the gradient to x, one for that to a weight, and of the hidden
# features of an FFN, which are computed again, one more.
@register_flop_formula(torch.ops.promptsr.linear)
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    return 2 * prod(x) * rest[3][0]


@register_flop_formula(torch.ops.promptsr.linear_backward)
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    return (1 + rest[-1]) * 2 * prod(x) * rest[2][0]


@register_flop_formula(torch.ops.promptsr.feed_forward)
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    return 2 * 2 * prod(x) * rest[3][0]


@register_flop_formula(torch.ops.promptsr.feed_forward_backward)
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    return (3 + 2 * rest[-1]) * 2 * prod(x) * rest[2][0]
