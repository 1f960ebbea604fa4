"""The attention kernels as torch operators with gradients.

Float32 tensors on the CPU; those within groups also half precision on a GPU.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from promptsr.kernels.calls import Pointer, Structure, call, empty_like, operator, pointer

# The partner that `attend_all` finds for each token
NOTHING, KEY_OF_QUERY, QUERY_OF_KEY = 0, 1, 2


class _Groups(Structure):
    """`Groups` of group_attention.cpp."""

    _fields_ = (
        ("members", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("tokens", "groups", "size", "heads", "c", "per_image", "fillers")),
        ("bias", ctypes.c_void_p),
        ("masks", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("mask", "mask_of_group")),
    )


def _keep_all(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    q, k, v, ctx.scale, _choose = inputs
    out, logsum, choice = output
    ctx.mark_non_differentiable(choice)
    ctx.save_for_backward(q, k, v, out, logsum)


def _differentiate_all(ctx: Any, to_out: Tensor, _to_logsum: Any, _to_choice: Any) -> tuple[Tensor | None, ...]:
    to_q, to_k, to_v = attend_all_backward(*ctx.saved_tensors, to_out, ctx.scale)
    return to_q, to_k, to_v, None, None


def _results_of_all(q: Tensor, k: Tensor, _v: Tensor, _scale: float, choose: int) -> tuple[Tensor, Tensor, Tensor]:
    (b, n, _), m = q.shape, k.shape[1]
    choices = {NOTHING: (0,), KEY_OF_QUERY: (b, n), QUERY_OF_KEY: (b, m)}[choose]
    return empty_like(q), q.new_empty(b, n), q.new_empty(choices, dtype=torch.int64)


@operator(_results_of_all, _differentiate_all, _keep_all)
def attend_all(q: Tensor, k: Tensor, v: Tensor, scale: float, choose: int) -> tuple[Tensor, Tensor, Tensor]:
    """Compute softmax(scale q k^T) v, and find the most similar partners on the way.

    Args:
        q: B x n x c.
        k: B x m x c.
        v: B x m x c.
        scale: factor on the similarities.
        choose: NOTHING, KEY_OF_QUERY or QUERY_OF_KEY.

    Returns:
        The result (B x n x c), the logarithms to base 2 of the sums of the softmax (B x n), and for each query the
        index of its most similar key (B x n), or for each key that of its most similar query (B x m), or nothing (0);
        the first one on a tie.
    """
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    (b, n, c), m = q.shape, k.shape[1]
    out, logsum, choice = _results_of_all(q, k, v, scale, choose)
    call(
        "attend_all",
        *_three(q, k, v),
        *(b, n, m, c, scale),
        pointer("out", out, (b, n, c)),
        pointer("logsum", logsum, (b, n)),
        pointer("choice", choice if choose == KEY_OF_QUERY else None, (b, n), torch.int64),
        pointer("choice", choice if choose == QUERY_OF_KEY else None, (b, m), torch.int64),
    )
    return out, logsum, choice


def _three(q: Tensor, k: Tensor, v: Tensor) -> tuple[Pointer, ...]:
    (b, n, c), m = q.shape, k.shape[1]
    return pointer("q", q, (b, n, c)), pointer("k", k, (b, m, c)), pointer("v", v, (b, m, c))


@operator(lambda q, k, v, *_rest: (empty_like(q), empty_like(k), empty_like(v)))
def attend_all_backward(
    q: Tensor, k: Tensor, v: Tensor, out: Tensor, logsum: Tensor, to_out: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the gradients of `attend_all` to q, k and v, from `to_out`, that to its result."""
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    (b, n, c), m = q.shape, k.shape[1]
    to_q, to_k, to_v = empty_like(q), empty_like(k), empty_like(v)
    call(
        "attend_all_backward",
        *_three(q, k, v),
        pointer("out", out, (b, n, c)),
        pointer("logsum", logsum, (b, n)),
        pointer("to_out", to_out.contiguous(), (b, n, c)),
        *(b, n, m, c, scale),
        *_three(to_q, to_k, to_v),
    )
    return to_q, to_k, to_v


def _keep_groups(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    qkv, members, scale, _heads, ctx.per_image, ctx.fillers, bias, masks, mask_of_group = inputs
    ctx.save_for_backward(qkv, members, scale, bias, masks, mask_of_group, *output)


def _differentiate_groups(ctx: Any, to_out: Tensor, _to_logsum: Any) -> tuple[Tensor | None, ...]:
    qkv, _members, scale, bias, *_rest = ctx.saved_tensors
    to_qkv, to_bias = attend_groups_backward(*ctx.saved_tensors, to_out, ctx.per_image, ctx.fillers)
    to_scale = None
    if ctx.needs_input_grad[2]:  # s = scale q k^T, and the gradient of q is scale ds k
        c = qkv.shape[1] // 3
        to_scale = ((qkv[:, :c].float() * to_qkv[:, :c].float()).sum() / scale).reshape(scale.shape)
    return to_qkv, None, to_scale, None, None, None, None if bias is None else to_bias, None, None


def results_of_groups(qkv: Tensor, members: Tensor, _scale: Tensor, heads: int, *_rest: Any) -> tuple[Tensor, Tensor]:
    """Allocate the results of `attend_groups` for the same arguments."""
    logsum = qkv.new_empty(len(members), heads, members.shape[1], dtype=torch.float32)
    return qkv.new_empty(len(qkv), qkv.shape[1] // 3), logsum


@operator(results_of_groups, _differentiate_groups, _keep_groups)
def attend_groups(
    qkv: Tensor,
    members: Tensor,
    scale: Tensor,
    heads: int,
    per_image: int,
    fillers: int,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_of_group: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Compute multi-head attention within groups of tokens.

    Args:
        qkv: queries, keys and values side by side, tokens x 3C.
        members: the tokens of each group, groups x size.
        scale: factor on the similarities, one number.
        heads: parts that C is divided into.
        per_image: groups of each image.
        fillers: so many first members of the last group of each image belong to the group before it, too, and keep
            the result from there.
        bias: added to the similarities, heads x size x size.
        masks: likewise for all heads, masks x size x size, each of them symmetric.
        mask_of_group: the mask of each group (groups); mask 0 is all zeros.

    Returns:
        The result (tokens x C) and the logarithms to base 2 of the sums of the softmax (groups x heads x size).
    """
    qkv = qkv.contiguous()
    out, logsum = results_of_groups(qkv, members, scale, heads)
    call("attend_groups", *_grouped(qkv, members, scale, bias, masks, mask_of_group, out, logsum, per_image, fillers))
    return out, logsum


def _grouped(
    qkv: Tensor,
    members: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_of_group: Tensor | None,
    out: Tensor,
    logsum: Tensor,
    per_image: int,
    fillers: int,
) -> tuple[Pointer, _Groups, float, Pointer, Pointer]:
    """Return the arguments that both kernels begin with."""
    (groups, size), heads, (tokens, channels) = members.shape, logsum.shape[1], out.shape
    count = 0 if masks is None else len(masks)
    if masks is not None and (bias is None or mask_of_group is None):
        raise ValueError("Masks need a bias, and the mask of every group.")
    if groups % per_image or not 0 <= fillers < max(size, 1):
        raise ValueError(f"{groups} groups of {size} cannot be {per_image} an image with {fillers} fillers.")
    structure = _Groups(
        pointer("members", members, (groups, size), torch.int64),
        *(tokens, groups, size, heads, channels // heads, per_image, fillers),
        pointer("bias", bias, (heads, size, size)),
        count,
        pointer("masks", masks, (count, size, size)),
        pointer("mask_of_group", mask_of_group if count else None, (groups,), torch.int64),
    )
    return (
        pointer("qkv", qkv, (tokens, 3 * channels)),
        structure,
        scale.item(),
        pointer("out", out, (tokens, channels)),
        pointer("logsum", logsum, (groups, heads, size)),
    )


def _gradients_of_groups(
    qkv: Tensor, _members: Tensor, _scale: Tensor, bias: Tensor | None, *_rest: Any
) -> tuple[Tensor, Tensor]:
    return empty_like(qkv), qkv.new_empty(0) if bias is None else empty_like(bias)


@operator(_gradients_of_groups)
def attend_groups_backward(
    qkv: Tensor,
    members: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_of_group: Tensor | None,
    out: Tensor,
    logsum: Tensor,
    to_out: Tensor,
    per_image: int,
    fillers: int,
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of `attend_groups` to qkv and the bias (or nothing) from `to_out`, that to its result."""
    qkv = qkv.contiguous()
    to_qkv, to_bias = _gradients_of_groups(qkv, members, scale, bias)
    call(
        "attend_groups_backward",
        *_grouped(qkv, members, scale, bias, masks, mask_of_group, out, logsum, per_image, fillers),
        pointer("to_out", to_out.contiguous(), out.shape),
        pointer("to_qkv", to_qkv, qkv.shape),
        pointer("to_bias", *((None, ()) if bias is None else (to_bias, bias.shape))),
    )
    return to_qkv, to_bias


def _on_gpu(name: str) -> Any:
    def run(*arguments: Any) -> Any:
        from promptsr.kernels import group_attention_gpu  # needs Triton

        return getattr(group_attention_gpu, name)(*arguments)

    return run


for _name in ("attend_groups", "attend_groups_backward"):
    torch.library.impl(f"promptsr::{_name}", "cuda", _on_gpu(_name))


# For torch's flop counter: forward two products; backward five, since the similarities are computed again.
def _flops_of_all(products: int) -> Any:
    return lambda q, k, *_rest, **_outputs: products * 2 * q[0] * q[1] * k[1] * q[2]


def _flops_of_groups(products: int) -> Any:
    return lambda qkv, members, *_rest, **_outputs: products * 2 * members[0] * members[1] ** 2 * (qkv[1] // 3)


register_flop_formula(torch.ops.promptsr.attend_all)(_flops_of_all(2))
register_flop_formula(torch.ops.promptsr.attend_all_backward)(_flops_of_all(5))
register_flop_formula(torch.ops.promptsr.attend_groups)(_flops_of_groups(2))
register_flop_formula(torch.ops.promptsr.attend_groups_backward)(_flops_of_groups(5))
