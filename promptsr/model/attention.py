"""Attention over all tokens and within groups; the only place that knows kernels, fused paths, chunks and memory.

On the CPU the kernels of `promptsr.kernels` do the work where they can be built, everywhere else torch's fused
attention. Neither stores a similarity map; while a tap asks for the map, it is computed explicitly.
"""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from promptsr.kernels import attention_operators as kernels
from promptsr.kernels.calls import groups_on_gpu, usable
from promptsr.model.groups import Groups
from promptsr.model.taps import MapTap

# Similarities computed at once by `nearest`: 4 MB of float32 stay in a core's cache, 256 MB fill a GPU.
_CHUNK_ELEMENTS = 1 << 20
_GPU_CHUNK_ELEMENTS = 1 << 26
# Fused attention on a GPU takes rows of whole 16 bytes only; with others torch silently stores the weights.
_GPU_ALIGNMENT = 8


def attend_all(
    q: Tensor, k: Tensor, v: Tensor, scale: float, choose: Literal["key", "query"], tap: MapTap | None = None
) -> tuple[Tensor, Tensor]:
    """Compute softmax(scale q k^T) v with a single head, and categories from the same similarities.

    Args:
        q: B x n x c.
        k: B x m x c.
        v: B x m x c.
        scale: factor on the similarities.
        choose: "key" finds the most similar key of each query, "query" the most similar query of each key.
        tap: while it is explicit it sees the similarities, B x n x m.

    Returns:
        The result, B x n x c, and the indices that were chosen, B x n or B x m, int64; the first one on a tie. They
        carry no gradient.
    """
    if tap is not None and tap.explicit:
        similarities = tap(similarity(q, k, scale))
        return tap.softmax(similarities) @ v, similarities.argmax(2 if choose == "key" else 1)
    if usable(q):
        wanted = kernels.KEY_OF_QUERY if choose == "key" else kernels.QUERY_OF_KEY
        out, _, choice = kernels.attend_all(q.float(), k.float(), v.float(), scale, wanted)
        return out.to(q.dtype), choice
    if torch.is_grad_enabled() and not _is_cpu(q) and len(q) * q.shape[1] * k.shape[1] <= _GPU_CHUNK_ELEMENTS:
        # Training on a GPU: so few similarities are stored in less time than it takes to compute them twice.
        similarities = similarity(q, k, scale)
        return similarities.softmax(-1) @ v, similarities.detach().argmax(2 if choose == "key" else 1)
    out = attend(q[:, None], k[:, None], v[:, None], scale)[:, 0]
    return out, nearest(q, k) if choose == "key" else nearest(k, q)


def attend_groups(
    qkv: Tensor,
    groups: Groups,
    heads: int,
    scale: float | Tensor,
    bias: Tensor | None = None,
    tap: MapTap | None = None,
) -> Tensor:
    """Compute multi-head attention within groups of tokens.

    Args:
        qkv: queries, keys and values side by side, B HW x 3C.
        groups: the tokens that attend to each other.
        heads: parts that C is divided into.
        scale: factor on the similarities.
        bias: added to the similarities in every group, heads x size x size.
        tap: while it is explicit it sees the weights, B x groups x heads x size x size.

    Returns:
        B HW x C.
    """
    if tap is not None and tap.explicit:
        q, k, v = groups.split(qkv, heads)  # each Bgroups x heads x size x C/heads
        logits = similarity(q, k, scale) if bias is None else similarity(q, k, scale) + bias
        if groups.masks is not None:
            logits = logits + groups.masks[groups.mask_of_group()][:, None]
        weights = tap(tap.softmax(logits).unflatten(0, (-1, groups.per_image)))
        return groups.join(weights.flatten(0, 1) @ v)
    on_gpu = groups_on_gpu(qkv, groups.members.shape[1])
    if on_gpu or usable(qkv):
        out, _ = kernels.attend_groups(
            qkv if on_gpu else qkv.float(),
            groups.members.contiguous(),
            scale.float() if isinstance(scale, Tensor) else torch.full((), scale, device=qkv.device),
            heads,
            groups.per_image,
            groups.fillers,
            None if bias is None else bias.float().contiguous(),
            None if groups.masks is None else groups.masks.float(),
            groups.mask_of_group(),
        )
        return out.to(qkv.dtype)
    if groups.masks is None:
        return groups.join(_attend_group(groups.split(qkv, heads), scale, bias))
    # Groups with one mask go together: no bias of the size groups x size x size is ever made.
    assert bias is not None
    members = [groups.members[numbers] for numbers in groups.masked]
    parts = [
        _attend_group(groups.split(qkv, heads, chosen), scale, bias + mask)
        for chosen, mask in zip(members, groups.masks, strict=True)
    ]
    return replace(groups, members=torch.cat(members)).join(torch.cat(parts))


def _attend_group(qkv: Tensor, scale: float | Tensor, bias: Tensor | None) -> Tensor:
    """qkv: 3 x groups x heads x size x C/heads; bias: heads x size x size -> groups x heads x size x C/heads."""
    q, k, v = qkv
    if isinstance(scale, Tensor):
        q, scale = q * scale, 1.0
    if bias is not None and bias.requires_grad and torch.is_grad_enabled() and _is_cpu(qkv):
        # No fused path of torch for the CPU has a gradient for the bias: while it is trained the weights are stored.
        return (similarity(q, k, scale) + bias).softmax(-1) @ v
    return attend(q, k, v, scale, None if bias is None else bias.to(q.dtype))


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Compute softmax(scale q k^T + bias) v by torch's fused path: the n x m weights are never stored.

    Torch silently takes a path that stores them when a tensor has another number of dimensions than four, when
    channels lie apart in memory, on a GPU when their bytes are no multiple of 16, or on a CPU when the bias requires a
    gradient.

    Args:
        q: B x heads x n x c.
        k: B x heads x m x c.
        v: B x heads x m x c.
        scale: factor on the similarities.
        bias: added to them, heads x n x m. On a CPU it may not require a gradient.

    Returns:
        B x heads x n x c.
    """
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    mask = None if bias is None else bias[None]  # heads x n x m -> 1 x heads x n x m
    if _is_cpu(q):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
    c = v.shape[-1]
    q, k, v = (F.pad(x, (0, -x.shape[-1] % _GPU_ALIGNMENT)) for x in (q, k, v))  # zeros change no product
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)[..., :c]


def _is_cpu(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def similarity(q: Tensor, k: Tensor, scale: float | Tensor) -> Tensor:
    """Compute scale q k^T, the similarity map itself: ... x n x m for q: ... x n x c and k: ... x m x c."""
    return q @ k.transpose(-2, -1) * scale


@torch.no_grad()
def nearest(q: Tensor, k: Tensor) -> Tensor:
    """Return for each row of q the index of the most similar row of k, argmax_m(q k^T); the first one on a tie.

    Taken in chunks of q, so memory grows with n + m and not with n m. Carries no gradient.

    Args:
        q: B x n x c.
        k: B x m x c.

    Returns:
        B x n, int64 in [0, m).
    """
    keys = k.transpose(-2, -1)
    chunk = _CHUNK_ELEMENTS if _is_cpu(q) else _GPU_CHUNK_ELEMENTS
    rows = max(1, chunk // (k.shape[0] * k.shape[1]))
    return torch.cat([(part @ keys).argmax(-1) for part in q.split(rows, dim=1)], dim=1)
