"""The exponents of Table II against costs written out by hand."""

import numpy as np
import pytest
import torch

from analysis.complexity.scaling import LAYERS, SIDES, WIDTH, Scaling, SelfAttention, measure_scaling
from promptsr.support.progress import finish

SA, WSA, ANCHORED, STRIDED = LAYERS
# Layer -> tokens that every token attends to, over both attentions of GAPL
ATTENDED = {SA: lambda n: n, WSA: lambda n: 256, ANCHORED: lambda n: 2 * 256, STRIDED: lambda n: 2 * n // 64}


@pytest.fixture(scope="module")
def counted() -> Scaling:
    return finish(measure_scaling(timed=False))


@pytest.mark.parametrize("layer", LAYERS)
def test_attention_is_counted_exactly_and_grows_as_in_table_two(layer: str, counted: Scaling) -> None:
    tokens = [side**2 for side in SIDES]
    attention, maps = counted.of(layer, "attention"), counted.of(layer, "maps")
    assert list(attention.tokens) == tokens
    # q k^T and the product with v: C multiply-adds each, for every pair
    assert list(attention.values) == [2 * n * ATTENDED[layer](n) * WIDTH for n in tokens]
    heads = 4 if layer == WSA else 1
    assert list(maps.values) == [4 * heads * n * ATTENDED[layer](n) for n in tokens]
    for exponent in (attention, maps):  # as in Table II
        assert exponent.expected == {SA: 2, WSA: 1, ANCHORED: 1, STRIDED: 2}[layer]
        assert exponent.exponent == pytest.approx(exponent.expected, abs=1e-9) and exponent.error < 1e-6


def test_all_multiply_adds_by_hand(counted: Scaling) -> None:
    tokens, linear = np.array(counted.of(SA, "attention").tokens), 4 * WIDTH**2  # q, k, v and the output
    for layer in (SA, WSA):
        attention = np.array(counted.of(layer, "attention").values)
        assert list(counted.of(layer, "multiply_adds").values) == list(attention + tokens * linear)
    slope = np.polyfit(np.log(tokens), np.log(counted.of(SA, "multiply_adds").values), 1)[0]
    assert counted.of(SA, "multiply_adds").exponent == pytest.approx(slope)
    assert 1.9 < slope < 2


def test_memory_of_self_attention_by_hand(counted: Scaling) -> None:
    # Most is alive during the softmax: queries, keys and values, similarities and weights, 4 bytes each
    expected = [4 * (3 * n * WIDTH + 2 * n * n) for n in counted.of(SA, "memory").tokens]
    assert list(counted.of(SA, "memory").values) == expected
    assert counted.of(STRIDED, "memory").values[-1] < counted.of(SA, "memory").values[-1] / 30


def test_the_finding_is_stated(counted: Scaling) -> None:
    assert "GAPL grows as HW^1.00 while the number of anchors H_d W_d is fixed" in counted.finding
    assert "grows as HW^2.00: 1/32 of SA" in counted.finding


def test_seconds_have_an_uncertainty() -> None:
    layers: list[str] = []
    scaling = finish(measure_scaling([32, 64, 96]), layers.append)
    assert layers == list(LAYERS)
    for layer in LAYERS:
        seconds = scaling.of(layer, "seconds")
        assert min(seconds.values) > 0 and seconds.error > 0 and seconds.expected is None
    assert scaling.of(SA, "seconds").exponent > scaling.of(ANCHORED, "seconds").exponent


def test_self_attention_is_what_it_says() -> None:
    layer, x = SelfAttention(), torch.rand(2, 3, 4, WIDTH)
    q, k, v = layer.qkv(x.reshape(2, 12, WIDTH)).chunk(3, dim=-1)
    weights = torch.softmax(torch.einsum("bnc,bmc->bnm", q, k) / WIDTH**0.5, dim=-1)
    expected = layer.projection(torch.einsum("bnm,bmc->bnc", weights, v)).reshape(2, 3, 4, WIDTH)
    torch.testing.assert_close(layer(x), expected)
