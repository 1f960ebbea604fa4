"""Categories and category self-attention against brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.model import attention
from promptsr.model.attention import nearest
from promptsr.model.category_attention import CategorySelfAttention
from promptsr.model.groups import category_groups
from promptsr.model.taps import record
from tests.support.kernels import normal


def integers(shape: tuple[int, ...], seed: int, span: int = 2) -> Tensor:
    """Small whole numbers: their products are exact, and ties are many."""
    return torch.randint(-span, span + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


@given(
    batch=st.integers(1, 3),
    queries=st.integers(1, 30),
    keys=st.integers(1, 20),
    channels=st.integers(1, 5),
    chunk=st.integers(1, 400),
    seed=st.integers(0, 99),
)
def test_nearest_is_the_first_best(batch: int, queries: int, keys: int, channels: int, chunk: int, seed: int) -> None:
    q, k = integers((batch, queries, channels), seed), integers((batch, keys, channels), seed + 1)
    expected = [
        [max(range(keys), key=lambda j: (float(q[b, i] @ k[b, j]), -j)) for i in range(queries)] for b in range(batch)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attention, "_CHUNK_ELEMENTS", chunk)
        found = nearest(q, k)
    assert found.dtype == torch.int64 and found.tolist() == expected


@pytest.mark.parametrize("chunk", [1, 1000, 12345, 1 << 20])
def test_nearest_takes_no_more_than_its_chunk_at_once(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_CHUNK_ELEMENTS", chunk)
    sizes = []
    product = torch.Tensor.__matmul__

    def watched(a: Tensor, b: Tensor) -> Tensor:
        result = product(a, b)
        sizes.append(result.numel())
        return result

    monkeypatch.setattr(torch.Tensor, "__matmul__", watched)
    q, k = torch.randn(2, 701, 6), torch.randn(2, 50, 6)
    found = nearest(q, k)
    assert sum(sizes) == 2 * 701 * 50
    assert max(sizes) <= max(chunk, 2 * 50)  # a row of each image at least
    assert len(sizes) == math.ceil(701 / max(1, chunk // 100))
    best = np.einsum("bic,bjc->bij", q.double(), k.double()).argmax(2)
    assert np.array_equal(found, best)


def test_nearest_carries_no_gradient() -> None:
    q = torch.randn(1, 4, 3, requires_grad=True)
    assert not nearest(q, q).requires_grad


@given(
    categories=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    size=st.integers(1, 60),
)
def test_groups_are_in_order_of_category_and_place(categories: list[int], size: int) -> None:
    size = min(size, len(categories))
    reversed_too = torch.tensor([categories, categories[::-1]])
    groups = category_groups(reversed_too, size)
    members = groups.members.unflatten(0, (2, groups.per_image)) - torch.tensor([0, len(categories)])[:, None, None]
    for row, mine in zip(members.tolist(), reversed_too.tolist(), strict=True):
        order = sorted(range(len(mine)), key=lambda token: (mine[token], token))
        expected = [order[start : start + size] for start in range(0, len(order), size)]
        expected[-1] = order[len(order) - size :]  # filled up with the tokens just before
        assert row == expected


def layer(size: int, heads: int = 2) -> CategorySelfAttention:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ModelConfig(channels=8, heads=heads, category_size=size)
        return CategorySelfAttention(config).double().requires_grad_(False)


def random_qkv(batch: int, height: int, width: int) -> Tensor:
    return normal(batch, height, width, 24, dtype=torch.float64)


def reference(csa: CategorySelfAttention, qkv: Tensor, category: Tensor, factor: float) -> np.ndarray:
    """The layer by loops over images, groups, heads and tokens."""
    batch, height, width, _ = qkv.shape
    count = height * width
    size = min(csa.size, count)
    q, k, v = qkv.numpy().reshape(batch, count, 3, csa.heads, -1).transpose(2, 0, 1, 3, 4)
    out = np.zeros(q.shape)
    for b, head in np.ndindex(batch, csa.heads):
        order = sorted(range(count), key=lambda token: (int(category[b, token]), token))
        for start in range(0, count, size):
            own = order[start : start + size]
            group = own if len(own) == size else order[-size:]
            for token in own:
                logits = np.array([factor * (q[b, token, head] @ k[b, other, head]) for other in group])
                weights = np.exp(logits - logits.max())
                weights /= weights.sum()
                out[b, token, head] = sum(
                    weight * v[b, other, head] for weight, other in zip(weights, group, strict=True)
                )
    merged = out.reshape(batch, height, width, -1)
    return merged @ csa.projection.weight.numpy().T + csa.projection.bias.numpy()


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(4, 6, 8), (5, 5, 8), (3, 7, 20), (3, 7, 21), (3, 3, 128), (1, 1, 128), (5, 3, 1), (2, 5, 9), (7, 1, 2)],
)
@pytest.mark.parametrize("heads", [1, 4])
def test_both_paths_are_the_loops(height: int, width: int, size: int, heads: int) -> None:
    csa, qkv = layer(size, heads), random_qkv(2, height, width)
    category = integers((2, height * width), 5).long()
    expected = torch.as_tensor(reference(csa, qkv, category, math.exp(float(csa.logit_scale))))
    torch.testing.assert_close(csa(qkv, category), expected, atol=1e-12, rtol=1e-12)
    with record(csa, ["weights"]) as seen:
        torch.testing.assert_close(csa(qkv, category), expected, atol=1e-12, rtol=1e-12)
    used = min(size, height * width)
    groups = math.ceil(height * width / used)
    assert seen["weights"].shape == (2, groups, heads, used, used)


def test_fillers_of_the_last_group_keep_their_own_result() -> None:
    """Six tokens of one category in groups of four: 0 1 2 3 and 2 3 4 5, and 2 and 3 attend to the former."""
    csa, qkv = layer(4), random_qkv(1, 1, 6)
    category = torch.zeros(1, 6, dtype=torch.int64)
    before = csa(qkv, category)
    changed = qkv.clone()
    changed[0, 0, 5] += 1.0
    assert (csa(changed, category) != before).any(-1)[0, 0].tolist() == [False, False, False, False, True, True]
    changed = qkv.clone()
    changed[0, 0, 2] += 1.0
    assert (csa(changed, category) != before).any(-1)[0, 0].tolist() == [True] * 6


def test_logit_scale_starts_at_10_and_ends_at_100() -> None:
    csa, qkv = layer(8), random_qkv(1, 3, 5) / 10
    category = integers((1, 15), 5).long()
    assert csa.logit_scale.shape == (1,)
    assert math.isclose(math.exp(float(csa.logit_scale)), 10.0, rel_tol=1e-6)
    for learned, factor in ((0.5, 0.5), (99.0, 99.0), (100.0, 100.0), (101.0, 100.0), (1e6, 100.0)):
        csa.logit_scale.fill_(math.log(learned))
        expected = torch.as_tensor(reference(csa, qkv, category, factor))
        torch.testing.assert_close(csa(qkv, category), expected, atol=1e-9, rtol=1e-9)
