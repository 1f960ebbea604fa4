"""Attention within groups on a GPU in half precision, in Triton; gathers no tokens and stores no weights.

A program computes one head of one group, whose keys and values stay on the chip. It reads the tokens where they lie and
writes the results to their places.
"""

import math
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from promptsr.kernels.attention_operators import results_of_groups

_ROWS = 64
"""Queries at a time: a GPU multiplies 64 rows at once."""
_SMALLEST = 16
"""Sides of the smallest matrices that it multiplies."""
_LOG2_E = tl.constexpr(math.log2(math.e))


@triton.jit
def _load(start, tokens, width, c: tl.constexpr, padded: tl.constexpr, kept):
    """Load c numbers of each token that is kept: tokens x padded, zeros elsewhere."""
    channel = tl.arange(0, padded)
    mask = kept[:, None] & (channel < c)[None, :]
    return tl.load(start + tokens[:, None] * width + channel[None, :], mask=mask, other=0.0)


@triton.jit
def _store(start, tokens, width, c: tl.constexpr, padded: tl.constexpr, kept, values, add: tl.constexpr):
    """Store c numbers of each token that is kept, or add them."""
    channel = tl.arange(0, padded)
    mask = kept[:, None] & (channel < c)[None, :]
    target = start + tokens[:, None] * width + channel[None, :]
    if add:
        tl.atomic_add(target, values.to(start.dtype.element_ty), mask=mask)
    else:
        tl.store(target, values.to(start.dtype.element_ty), mask=mask)


@triton.jit
def _logits(q, k, scale, bias, row, column, size: tl.constexpr, biased: tl.constexpr):
    """Compute scale q k^T + bias to base 2, rows x columns; -inf behind the keys."""
    logits = tl.dot(q, tl.trans(k)) * (scale * _LOG2_E)
    if biased:
        inside = (row < size)[:, None] & (column < size)[None, :]
        part = tl.load(bias + row[:, None] * size + column[None, :], mask=inside, other=0.0)
        logits += part.to(tl.float32) * _LOG2_E
    return tl.where((column < size)[None, :], logits, float("-inf"))


@triton.jit
def _begin(
    qkv, members, scale, bias, mask_of_group, per_image, fillers,
    c: tl.constexpr, padded: tl.constexpr, heads: tl.constexpr, size: tl.constexpr, columns: tl.constexpr,
    masked: tl.constexpr,
):  # fmt: skip
    """Return what a program works on: its group and head, its tokens, their keys and values, the factor on the
    similarities, the first query that is no filler, and where its bias begins."""
    program = tl.program_id(0).to(tl.int64)
    group, head = program // heads, program % heads
    column = tl.arange(0, columns)
    token = tl.load(members + group * size + column, mask=column < size, other=0)
    width = 3 * heads * c
    k = _load(qkv + heads * c + head * c, token, width, c, padded, column < size)
    v = _load(qkv + 2 * heads * c + head * c, token, width, c, padded, column < size)
    first = tl.where(group % per_image == per_image - 1, fillers, 0)
    number = tl.load(mask_of_group + group) if masked else 0
    return (
        program,
        group,
        head,
        column,
        token,
        k,
        v,
        tl.load(scale),
        first,
        bias + (number * heads + head) * size * size,
    )


@triton.jit
def _forward(
    qkv, members, scale, bias, mask_of_group, out, logsum, per_image, fillers,
    c: tl.constexpr, padded: tl.constexpr, heads: tl.constexpr, size: tl.constexpr, columns: tl.constexpr,
    rows: tl.constexpr, biased: tl.constexpr, masked: tl.constexpr,
):  # fmt: skip
    program, group, head, column, _, k, v, factor, first, bias = _begin(
        qkv, members, scale, bias, mask_of_group, per_image, fillers, c, padded, heads, size, columns, masked
    )
    width = 3 * heads * c
    qkv += head * c
    for start in range(0, columns, rows):
        row = start + tl.arange(0, rows)
        own = tl.load(members + group * size + row, mask=row < size, other=0)
        q = _load(qkv, own, width, c, padded, row < size)
        logits = _logits(q, k, factor, bias, row, column, size, biased)
        largest = tl.max(logits, 1)
        p = tl.exp2(logits - largest[:, None])
        total = tl.sum(p, 1)
        result = tl.dot(p.to(v.dtype), v) / total[:, None]
        _store(out + head * c, own, heads * c, c, padded, (row >= first) & (row < size), result, False)
        tl.store(logsum + program * size + row, largest + tl.log2(total), mask=row < size)


@triton.jit
def _backward(
    qkv, members, scale, bias, mask_of_group, logsum, to_out, to_qkv, to_logits, per_image, fillers,
    c: tl.constexpr, padded: tl.constexpr, heads: tl.constexpr, size: tl.constexpr, columns: tl.constexpr,
    rows: tl.constexpr, biased: tl.constexpr, masked: tl.constexpr, shared: tl.constexpr,
):  # fmt: skip
    program, group, head, column, token, k, v, factor, first, bias = _begin(
        qkv, members, scale, bias, mask_of_group, per_image, fillers, c, padded, heads, size, columns, masked
    )
    width = 3 * heads * c
    qkv += head * c
    to_qkv += head * c
    to_k = tl.zeros((columns, padded), tl.float32)
    to_v = tl.zeros((columns, padded), tl.float32)
    for start in range(0, columns, rows):
        row = start + tl.arange(0, rows)
        own = tl.load(members + group * size + row, mask=row < size, other=0)
        kept = (row >= first) & (row < size)
        q = _load(qkv, own, width, c, padded, row < size)
        to_result = _load(to_out + head * c, own, heads * c, c, padded, kept)
        logits = _logits(q, k, factor, bias, row, column, size, biased)
        p = tl.exp2(logits - tl.load(logsum + program * size + row, mask=row < size, other=0.0)[:, None])
        to_p = tl.dot(to_result, tl.trans(v))
        change = (p * (to_p - tl.sum(p * to_p, 1)[:, None])).to(k.dtype)
        if biased:
            inside = (row < size)[:, None] & (column < size)[None, :]
            tl.store(to_logits + (program * size + row[:, None]) * size + column[None, :], change, mask=inside)
        to_k += tl.dot(tl.trans(change), q)
        to_v += tl.dot(tl.trans(p.to(v.dtype)), to_result)
        _store(to_qkv, own, width, c, padded, kept, tl.dot(change, k) * factor, False)
    # Keys and values of fillers serve two groups.
    _store(to_qkv + heads * c, token, width, c, padded, column < size, to_k * factor, shared)
    _store(to_qkv + 2 * heads * c, token, width, c, padded, column < size, to_v, shared)


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
    """Compute what `promptsr.kernels.attention_operators.attend_groups` does, for qkv in half precision."""
    qkv, members = qkv.contiguous(), members.contiguous()
    out, logsum = results_of_groups(qkv, members, scale, heads)
    biases, masked = _biases(qkv, bias, masks), mask_of_group if masks is not None else None
    _forward[(len(members) * heads,)](
        *(qkv, members, scale, biases, members if masked is None else masked, out, logsum, per_image, fillers),
        **_sizes(qkv, members, heads),
        biased=bias is not None,
        masked=masked is not None,
        num_warps=4,
    )
    return out, logsum


def attend_groups_backward(
    qkv: Tensor,
    members: Tensor,
    scale: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_of_group: Tensor | None,
    _out: Tensor,
    logsum: Tensor,
    to_out: Tensor,
    per_image: int,
    fillers: int,
) -> tuple[Tensor, Tensor]:
    """Compute the gradients of `attend_groups` to qkv and the bias (or nothing) from `to_out`, that to its result."""
    qkv, members, to_out = qkv.contiguous(), members.contiguous(), to_out.contiguous()
    (groups, size), heads = members.shape, logsum.shape[1]
    # Atomic sums of half precision would lose too much.
    to_qkv = torch.zeros_like(qkv, dtype=torch.float32) if fillers else torch.empty_like(qkv)
    # Summed over the groups afterwards: too many to add to one place from all of them.
    to_logits = qkv.new_empty(0 if bias is None else groups, heads, size, size)
    biases, masked = _biases(qkv, bias, masks), mask_of_group if masks is not None else None
    _backward[(groups * heads,)](
        *(qkv, members, scale, biases, members if masked is None else masked, logsum, to_out, to_qkv, to_logits),
        *(per_image, fillers),
        **_sizes(qkv, members, heads),
        biased=bias is not None,
        masked=masked is not None,
        shared=fillers > 0,
        num_warps=4,
    )
    to_bias = qkv.new_empty(0) if bias is None else to_logits.sum(0, dtype=torch.float32).to(bias.dtype)
    return to_qkv.to(qkv.dtype), to_bias


def _sizes(qkv: Tensor, members: Tensor, heads: int) -> dict[str, Any]:
    size, c = members.shape[1], qkv.shape[1] // 3 // heads
    columns = max(_SMALLEST, triton.next_power_of_2(size))
    return {
        "c": c,
        "padded": max(_SMALLEST, triton.next_power_of_2(c)),
        "heads": heads,
        "size": size,
        "columns": columns,
        "rows": min(_ROWS, columns),
    }


def _biases(qkv: Tensor, bias: Tensor | None, masks: Tensor | None) -> Tensor:
    """Return the bias, with each mask if there are any, masks x heads x size x size; something unused without one."""
    if bias is None:
        return qkv
    return (bias if masks is None else bias + masks[:, None]).to(qkv.dtype).contiguous()
