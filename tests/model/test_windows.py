"""Window self-attention against loops over windows, heads and tokens."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.model.taps import record
from promptsr.model.window_attention import WindowSelfAttention
from tests.support.kernels import normal


def layer(window: int, heads: int, shifted: bool) -> WindowSelfAttention:
    config = ModelConfig(channels=12, heads=heads, window_size=window)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        attention = WindowSelfAttention(config, shifted).double().requires_grad_(False)
        torch.nn.init.normal_(attention.position_bias)
    return attention


def random_qkv(height: int, width: int, batch: int) -> Tensor:
    return normal(batch, height, width, 36, dtype=torch.float64)


def reference(attention: WindowSelfAttention, qkv: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The layer by loops: its output, and its weights B x windows x heads x ws^2 x ws^2."""
    s, shift, heads = attention.window, attention.shift, attention.heads
    table = attention.position_bias.numpy()
    batch, height, width, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2], qkv.shape[3] // 3
    q, k, v = (part.numpy().reshape(batch, height, width, heads, -1) for part in qkv.split(channels, dim=3))
    out = np.zeros(q.shape)
    weights = np.zeros((batch, height * width // s**2, heads, s * s, s * s))
    places = [(y, x) for y in range(s) for x in range(s)]  # within a window
    windows = [(top, left) for top in range(0, height, s) for left in range(0, width, s)]
    for b, (w, (top, left)), head in (
        (b, w, head) for b in range(batch) for w in enumerate(windows) for head in range(heads)
    ):
        # Where each token of this window lay before the roll
        origin = [((top + y + shift) % height, (left + x + shift) % width) for y, x in places]
        for i, (yi, xi) in enumerate(places):
            logits = np.full(len(places), -np.inf)
            for j, (yj, xj) in enumerate(places):
                moved = (origin[i][0] - origin[j][0], origin[i][1] - origin[j][1])
                if moved == (yi - yj, xi - xj):  # the roll left them where they were to each other
                    bias = table[(yi - yj + s - 1) * (2 * s - 1) + xi - xj + s - 1, head]
                    dot = q[b, *origin[i], head] @ k[b, *origin[j], head]
                    logits[j] = dot / np.sqrt(channels // heads) + bias
            row = np.exp(logits - logits.max())
            row /= row.sum()
            weights[b, w, head, i] = row
            out[b, *origin[i], head] = sum(row[j] * v[b, *origin[j], head] for j in range(len(places)))
    merged = out.reshape(batch, height, width, channels)
    return merged @ attention.projection.weight.numpy().T + attention.projection.bias.numpy(), weights


GRIDS: list[dict[str, Any]] = [
    {"window": 4, "rows": 2, "columns": 3, "heads": 2},
    {"window": 4, "rows": 1, "columns": 1, "heads": 4},
    {"window": 4, "rows": 1, "columns": 3, "heads": 1},
    {"window": 4, "rows": 3, "columns": 1, "heads": 3},
    {"window": 5, "rows": 2, "columns": 2, "heads": 2},
    {"window": 2, "rows": 3, "columns": 4, "heads": 2},
    {"window": 1, "rows": 2, "columns": 3, "heads": 2},
]


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", GRIDS)
def test_both_paths_are_the_loops(grid: dict[str, int], shifted: bool) -> None:
    attention = layer(grid["window"], grid["heads"], shifted)
    assert attention.shift == (grid["window"] // 2 if shifted else 0)
    qkv = random_qkv(grid["window"] * grid["rows"], grid["window"] * grid["columns"], batch=2)
    expected, weights = reference(attention, qkv)
    # A mask of -100 in place of minus infinity lets through e^-100.
    torch.testing.assert_close(attention(qkv), torch.as_tensor(expected), atol=1e-12, rtol=1e-12)
    with record(attention, ["weights"]) as seen:
        torch.testing.assert_close(attention(qkv), torch.as_tensor(expected), atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(seen["weights"], torch.as_tensor(weights), atol=1e-12, rtol=1e-12)


@given(
    window=st.integers(1, 8),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    batch=st.integers(1, 2),
    shifted=st.booleans(),
)
def test_no_weight_joins_tokens_that_were_apart(
    window: int, rows: int, columns: int, batch: int, shifted: bool
) -> None:
    attention = layer(window, 2, shifted)
    height, width = window * rows, window * columns
    # Every token's place on the image, rolled and cut into windows by index arithmetic of its own
    y, x = np.indices((height, width))
    y, x = (np.roll(place, (-attention.shift, -attention.shift), (0, 1)) for place in (y, x))
    cut = [(r, c) for r in range(0, height, window) for c in range(0, width, window)]
    allowed = np.stack(
        [
            (np.abs(yy[:, None] - yy[None]) < window)
            & (np.abs(xx[:, None] - xx[None]) < window)
            & ((yy[:, None] >= attention.shift) == (yy[None] >= attention.shift) if r + window == height else True)
            & ((xx[:, None] >= attention.shift) == (xx[None] >= attention.shift) if c + window == width else True)
            for r, c in cut
            for yy, xx in [
                (y[r : r + window, c : c + window].ravel(), x[r : r + window, c : c + window].ravel()),
            ]
        ]
    )
    with record(attention, ["weights"]) as seen:
        attention(random_qkv(height, width, batch))
    weights = seen["weights"]
    assert weights.shape == (batch, rows * columns, 2, window**2, window**2)
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1], dtype=torch.float64))
    joined = (weights > 1e-30).all(dim=2)  # B x windows x ws^2 x ws^2
    assert torch.equal(joined, torch.as_tensor(allowed).expand_as(joined))
