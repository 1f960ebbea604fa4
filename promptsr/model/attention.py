"""The only place that knows about fused kernels, chunks and memory."""

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities computed at once by `nearest`: 4 MB of float32, which stays in a core's cache.
_CHUNK_ELEMENTS = 1 << 20


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """softmax(scale q k^T + bias) v, fused: the n x m weights are never stored.

    Torch silently takes a path that stores them when a tensor has another number of dimensions than four, when
    channels lie apart in memory, or when the bias requires a gradient.

    Args:
        q: B x heads x n x c.
        k: B x heads x m x c.
        v: B x heads x m x c.
        scale: factor on the similarities.
        bias: added to them, heads x n x m. It may not require a gradient.

    Returns:
        B x heads x n x c.
    """
    q, k, v = (x if x.stride(-1) == 1 else x.contiguous() for x in (q, k, v))
    mask = None if bias is None else bias[None]  # heads x n x m -> 1 x heads x n x m
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)


def similarity(q: Tensor, k: Tensor, scale: float) -> Tensor:
    """scale q k^T, the similarity map itself: ... x n x m for q: ... x n x c and k: ... x m x c."""
    return q @ k.transpose(-2, -1) * scale


@torch.no_grad()
def nearest(q: Tensor, k: Tensor) -> Tensor:
    """For each row of q the index of the most similar row of k, argmax_m(q k^T); the first one on a tie.

    Taken in chunks of q, so memory grows with n + m and not with n m. Carries no gradient.

    Args:
        q: B x n x c.
        k: B x m x c.

    Returns:
        B x n, int64 in [0, m).
    """
    keys = k.transpose(-2, -1)
    rows = max(1, _CHUNK_ELEMENTS // (k.shape[0] * k.shape[1]))
    return torch.cat([(part @ keys).argmax(-1) for part in q.split(rows, dim=1)], dim=1)
