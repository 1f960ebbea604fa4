"""The attention kernels against plain float64 arithmetic: results, choices and gradients."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from promptsr.kernels import attention_operators as operators
from tests.support.kernels import available, close, normal, threads

pytestmark = available

COUNTS = st.integers(1, 300)
SEEDS = st.integers(0, 10**6)


def attend(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    return (scale * q @ k.transpose(-2, -1)).softmax(-1) @ v


@given(st.integers(1, 3), COUNTS, COUNTS, st.integers(1, 50), st.floats(0.01, 3), SEEDS)
def test_global_attention(b: int, n: int, m: int, c: int, scale: float, seed: int) -> None:
    q, k, v = (normal(b, count, c, seed=seed + i) for i, count in enumerate((n, m, m)))
    out, logsum, _ = operators.attend_all(q, k, v, scale, operators.NOTHING)
    similarity = scale * q.double() @ k.double().transpose(1, 2)
    close(out, similarity.softmax(-1) @ v.double(), 1e-5)
    expected = similarity.logsumexp(-1) / torch.tensor(2.0).double().log()
    torch.testing.assert_close(logsum.double(), expected, atol=1e-4, rtol=1e-5)
    for choose, rows in ((operators.KEY_OF_QUERY, similarity), (operators.QUERY_OF_KEY, similarity.transpose(1, 2))):
        _, _, choice = operators.attend_all(q, k, v, scale, choose)
        chosen = rows.gather(2, choice[..., None])[..., 0]
        assert bool((rows.amax(2) - chosen <= 1e-5 * rows.abs().max()).all())


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("choose", [operators.KEY_OF_QUERY, operators.QUERY_OF_KEY])
def test_the_first_of_equals_is_chosen(choose: int, count: int) -> None:
    """Small whole numbers, for which nothing is rounded (the kernels work in powers of two), and many ties."""
    q, k = normal(2, 500, 4).round(), normal(2, 300, 4, seed=1).round()
    similarity = q @ k.transpose(1, 2)
    rows = similarity if choose == operators.KEY_OF_QUERY else similarity.transpose(1, 2)
    with threads(count):
        _, _, choice = operators.attend_all(q, k, k, math.log(2), choose)
    assert torch.equal(choice, rows.argmax(2))  # on the CPU torch's argmax takes the first one as well
    best_twice = (rows == rows.amax(2, keepdim=True)).sum(2) > 1
    assert best_twice.sum() > 100


@given(st.integers(1, 2), st.integers(1, 150), st.integers(1, 150), st.integers(1, 20), SEEDS)
def test_gradients_of_global_attention(b: int, n: int, m: int, c: int, seed: int) -> None:
    inputs = [normal(b, count, c, seed=seed + i).requires_grad_() for i, count in enumerate((n, m, m))]
    precise = [x.detach().double().requires_grad_() for x in inputs]
    to_out = normal(b, n, c, seed=seed + 3)
    out, _, _ = operators.attend_all(*inputs, 0.4, operators.NOTHING)
    mine = torch.autograd.grad(out, inputs, to_out)
    q, k, v = precise
    expected = torch.autograd.grad(attend(q, k, v, 0.4), precise, to_out.double())
    for gradient, reference in zip(mine, expected, strict=True):
        close(gradient, reference, 2e-5)


def grouped(
    qkv: Tensor, members: Tensor, scale: Tensor, heads: int, fillers: int, bias: Tensor | None, mask: Tensor | None
) -> Tensor:
    """One group after another; the first `fillers` members of the last one keep what they have."""
    c = qkv.shape[1] // 3
    q, k, v = (part.unflatten(1, (heads, -1)).transpose(0, 1) for part in qkv.split(c, dim=1))  # heads x tokens x c
    out = torch.zeros(heads, len(qkv), c // heads, dtype=qkv.dtype)
    for number, group in enumerate(members):
        logits = scale * q[:, group] @ k[:, group].transpose(1, 2)
        logits = logits + (0 if bias is None else bias) + (0 if mask is None else mask[number])
        kept = group[fillers if number == len(members) - 1 else 0 :]
        out = out.index_copy(1, kept, (logits.softmax(-1) @ v[:, group])[:, len(group) - len(kept) :])
    return out.transpose(0, 1).flatten(1)


GROUPS = st.tuples(
    st.integers(1, 5), st.integers(1, 70), st.integers(1, 3), st.integers(1, 14), st.booleans(), st.booleans(), SEEDS
)


@given(GROUPS, st.integers(0, 69))
def test_attention_in_groups_and_its_gradients(case: tuple[int, int, int, int, bool, bool, int], fillers: int) -> None:
    """Check any size, with and without bias and masks, with a last group that overlaps the one before it."""
    groups, size, heads, c, biased, masked, seed = case
    fillers = fillers % size if groups > 1 else 0
    tokens = groups * size - fillers
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(tokens, generator=generator)
    starts = torch.arange(groups).mul(size).clamp(max=tokens - size)
    members = order[starts[:, None] + torch.arange(size)]
    qkv = normal(tokens, 3 * heads * c, seed=seed).requires_grad_()
    scale = torch.tensor(0.7, requires_grad=True)
    bias = normal(heads, size, size, seed=seed + 1).requires_grad_() if biased else None
    masks = mask_of_group = None
    if biased and masked:
        one = torch.where(normal(size, size, seed=seed + 2) > 0.5, -100.0, 0.0)
        one = torch.minimum(one, one.T).fill_diagonal_(0)
        masks = torch.stack([torch.zeros_like(one), one])
        mask_of_group = torch.randint(0, 2, (groups,), generator=generator)

    out, _ = operators.attend_groups(qkv, members, scale, heads, groups, fillers, bias, masks, mask_of_group)
    inputs = [x for x in (qkv, scale, bias) if x is not None]
    precise = [x.detach().double().requires_grad_() for x in inputs]
    mask = None if masks is None else masks.double()[mask_of_group][:, None].expand(-1, heads, -1, -1)
    expected = grouped(precise[0], members, precise[1], heads, fillers, precise[2] if bias is not None else None, mask)
    close(out, expected, 1e-5)
    to_out = normal(*out.shape, seed=seed + 3)
    mine = torch.autograd.grad(out, inputs, to_out)
    reference = torch.autograd.grad(expected, precise, to_out.double())
    largest = max(float(gradient.abs().max()) for gradient in reference)
    for gradient, other in zip(mine, reference, strict=True):
        close(gradient, other, 3e-5, max(largest, 1e-6))


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    q, k = normal(1, 777, 12), normal(1, 333, 12, seed=1)
    qkv, members = normal(1000, 36), torch.randperm(1000).view(10, 100)
    bias = normal(3, 100, 100)

    def results() -> list[Tensor]:
        found = [
            *operators.attend_all(q, k, k, 0.3, operators.KEY_OF_QUERY),
            *operators.attend_all(k, q, q, 0.3, operators.QUERY_OF_KEY),
            *operators.attend_groups(qkv, members, torch.tensor(0.3), 3, 10, 0, bias, None, None),
        ]
        return [x.clone() for x in found]

    with threads(1):
        alone = results()
    for count in (2, 3, 7):
        with threads(count):
            assert all(map(torch.equal, alone, results()))


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_large_similarities_do_not_overflow(size: float) -> None:
    q, k, v = size * normal(1, 40, 8), size * normal(1, 50, 8, seed=1), normal(1, 50, 8, seed=2)
    out, _, choice = operators.attend_all(q, k, v, 1.0, operators.KEY_OF_QUERY)
    best = (q @ k.transpose(1, 2)).argmax(2)
    assert torch.equal(choice, best)
    torch.testing.assert_close(out[0], v[0, best[0]])  # all weight on one key


@pytest.mark.parametrize("place", ["q", "k", "v"])
def test_nan_is_not_lost(place: str) -> None:
    q, k, v = normal(1, 40, 8), normal(1, 50, 8, seed=1), normal(1, 50, 8, seed=2)
    {"q": q, "k": k, "v": v}[place][0, 7, 3] = float("nan")
    out, _, _ = operators.attend_all(q, k, v, 0.3, operators.NOTHING)
    lost = attend(q, k, v, 0.3).isnan() & ~out.isnan()
    assert not lost.any() and out.isnan().any()
    qkv = normal(64, 24)
    qkv[5, {"q": 0, "k": 8, "v": 16}[place]] = float("nan")
    grouped_out, _ = operators.attend_groups(
        qkv, torch.arange(64).view(2, 32), torch.tensor(0.3), 1, 2, 0, None, None, None
    )
    assert grouped_out[:32].isnan().any() and grouped_out[32:].isfinite().all()


SOUND: dict[str, Callable[[], tuple[Any, ...]]] = {
    "attend_all": lambda: (*(normal(2, 40, 8, seed=i).requires_grad_() for i in range(3)), 0.3, operators.KEY_OF_QUERY),
    "attend_groups": lambda: (
        *(normal(60, 24).requires_grad_(), torch.arange(60).view(3, 20), torch.tensor(0.3, requires_grad=True)),
        *(2, 3, 0, normal(2, 20, 20).requires_grad_(), None, None),
    ),
}


@pytest.mark.parametrize("operator", SOUND)
def test_torch_finds_the_operators_sound(operator: str) -> None:
    """Shapes without values, no hidden changes of the inputs, and what torch.compile needs."""
    torch.library.opcheck(getattr(operators, operator), SOUND[operator]())
