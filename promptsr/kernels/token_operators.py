"""Linear layers and the feed-forward network as torch operators with gradients, one pass over the tokens each.

Float32 tensors on the CPU only.
"""

import ctypes
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from promptsr.kernels.calls import Pointer, Structure, call, empty_like, operator, pointer


class _Linear(Structure):
    """`Linear` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("in", ctypes.c_int64), ("out", ctypes.c_int64))


class _Norm(Structure):
    """`Norm` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p), ("epsilon", ctypes.c_double))


class _Gradients(Structure):
    """`Gradients` of token_layers.cpp."""

    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


_NO_LAYER = _Linear()


def _linear(weight: Tensor, bias: Tensor | None, into: int) -> _Linear:
    out = len(weight)
    return _Linear(pointer("weight", weight, (out, into)), pointer("bias", bias, (out,)), into, out)


def _layers(
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    epsilon: float,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor | None = None,
    second_bias: Tensor | None = None,
) -> tuple[Pointer, int, _Norm, _Linear, _Linear]:
    """Return the arguments that both kernels begin with."""
    into = x.shape[-1]
    if (norm_weight is None) != (norm_bias is None):
        raise ValueError("A norm needs both a weight and a bias.")
    if second_weight is not None and len(second_weight) != into:
        raise ValueError(f"second_weight must have {into} rows, not {len(second_weight)}.")
    return (
        pointer("x", x, x.shape),
        prod(x.shape[:-1]),
        _Norm(pointer("norm_weight", norm_weight, (into,)), pointer("norm_bias", norm_bias, (into,)), epsilon),
        _linear(weight, bias, into),
        _NO_LAYER if second_weight is None else _linear(second_weight, second_bias, len(weight)),
    )


def _forward(x: Tensor, rest: Tensor | None, out: Tensor, *layers: Any) -> Tensor:
    rest = None if rest is None else rest.contiguous()
    into = _layers(x.contiguous(), *layers)
    call("token_layers", *into, pointer("rest", rest, out.shape), pointer("out", out, out.shape))
    return out


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, norm_weight, norm_bias, ctx.epsilon, *layers = inputs
    pairs = layers[: len(layers) // 2 * 2]  # of weights and biases; `rest` may follow, whose gradient needs no values
    ctx.save_for_backward(x, norm_weight, norm_bias, *pairs)


def _differentiate(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:
    x, *weights = ctx.saved_tensors
    wanted = any([*ctx.needs_input_grad[1:3], *ctx.needs_input_grad[4 : 2 + len(weights)]])
    to_x, *found = token_layers_backward(x, to_out, wanted, ctx.epsilon, *weights)
    to_weights = [to if wanted and weight is not None else None for to, weight in zip(found, weights, strict=False)]
    return to_x, *to_weights[:2], None, *to_weights[2:]


def _differentiate_linear(ctx: Any, to_out: Tensor) -> tuple[Tensor | None, ...]:
    return *_differentiate(ctx, to_out), to_out if ctx.needs_input_grad[6] else None


def _linear_result(x: Tensor, _norm_weight: Any, _norm_bias: Any, _epsilon: Any, weight: Tensor, *_rest: Any) -> Tensor:
    return x.new_empty(*x.shape[:-1], len(weight))


@operator(_linear_result, _differentiate_linear, _keep)
def linear(
    x: Tensor,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    epsilon: float,
    weight: Tensor,
    bias: Tensor | None,
    rest: Tensor | None,
) -> Tensor:
    """Apply a linear layer, after a layer norm if that has weights.

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
    layers = norm_weight, norm_bias, epsilon, weight, bias
    return _forward(x, rest, _linear_result(x, *layers), *layers)


@operator(lambda x, *_layers: empty_like(x), _differentiate, _keep)
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
    """Compute x + FFN(LN(x)) with an FFN of linear, GELU, linear.

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
    return _forward(x, x, empty_like(x), norm_weight, norm_bias, epsilon, weight, bias, second_weight, second_bias)


def _room(x: Tensor, _to_out: Any, wanted: bool, _epsilon: Any, *weights: Tensor | None) -> list[Tensor]:
    """Allocate the gradients; those that are not wanted have no values."""
    return [empty_like(x), *(empty_like(w) if wanted and w is not None else x.new_empty(0) for w in weights)]


@operator(_room)
def token_layers_backward(
    x: Tensor,
    to_out: Tensor,
    wanted: bool,
    epsilon: float,
    norm_weight: Tensor | None,
    norm_bias: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor | None = None,
    second_bias: Tensor | None = None,
) -> list[Tensor]:
    """Compute the gradients of `linear`, or with a second layer of `feed_forward`, from that of the result.

    Args:
        x: ... x in.
        to_out: the gradient of the result, ... x out.
        wanted: whether the gradients of weights are.
        epsilon: this and all weights as in the forward pass.

    Returns:
        The gradients of x and of the weights in their order; those that are absent or not wanted have no values.
    """
    x = x.contiguous()
    layers = norm_weight, norm_bias, weight, bias, second_weight, second_bias
    to_x, *gradients = _room(x, to_out, wanted, epsilon, *layers)
    last = weight if second_weight is None else second_weight
    addresses = [
        pointer("gradient", to if to.numel() else None, () if w is None else w.shape)
        for to, w in zip(gradients, layers, strict=True)
    ]
    call(
        "token_layers_backward",
        *_layers(x, norm_weight, norm_bias, epsilon, *layers[2:]),
        pointer("to_out", to_out.contiguous(), (*x.shape[:-1], len(last))),
        pointer("to_x", to_x, x.shape),
        *(_Gradients(*addresses[i : i + 2]) for i in (0, 2, 4)),
    )
    return [to_x, *gradients]


# For torch's flop counter: forward one product a layer; backward one for the gradient to x, one for that to a weight,
# and of the hidden features of an FFN, which are computed again, one more.
@register_flop_formula([torch.ops.promptsr.linear, torch.ops.promptsr.feed_forward])
def _(x: torch.Size, *rest: Any, **_outputs: Any) -> int:
    layers = 2 if len(rest) > 6 else 1
    return layers * 2 * prod(x) * rest[3][0]


@register_flop_formula(torch.ops.promptsr.token_layers_backward)
def _(x: torch.Size, _to_out: Any, wanted: bool, *rest: Any, **_outputs: Any) -> int:
    products = 3 + 2 * wanted if len(rest) > 5 else 1 + wanted
    return products * 2 * prod(x) * rest[3][0]
