"""The cut into tiles and the weights of their blend."""

import itertools
import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from promptsr.support.spans import spans


@given(st.integers(1, 300), st.integers(1, 120), st.integers(0, 60), st.integers(1, 4))
def test_spans_cover_the_axis_in_equal_pieces_whose_weights_sum_to_one(
    length: int, tile: int, overlap: int, scale: int
) -> None:
    pieces = spans(length, tile, overlap, scale)
    size = min(tile, length)
    used = min(overlap, size // 2)
    assert {piece.low.stop - piece.low.start for piece in pieces} == {size}
    assert pieces[0].low.start == 0 and pieces[-1].low.stop == length
    assert len(pieces) == max(1, math.ceil((length - used) / (size - used)))
    total = np.zeros(scale * length)
    for piece in pieces:
        assert (piece.high.start, piece.high.stop) == (scale * piece.low.start, scale * piece.low.stop)
        assert piece.weight.dtype == torch.float32 and piece.weight.min() >= 0
        total[piece.high] += piece.weight.numpy()
    np.testing.assert_allclose(total, 1, atol=1e-6)
    margin = scale * (used // 4)  # inner edges of a tile are not used
    for earlier, later in itertools.pairwise(pieces):
        assert earlier.low.start < later.low.start <= earlier.low.stop - used
        assert not later.weight[:margin].any() and not earlier.weight[len(earlier.weight) - margin :].any()


def test_a_cut_worked_out_by_hand() -> None:
    # Tiles of 16 over 30 pixels that share 8: starts 0, 8, 14. The first two overlap in 8..16; without a quarter of 8
    # at either end the line rises over 10..14. The last two overlap in 14..24: it rises over 16..22.
    pieces = spans(30, 16, 8, 1)
    assert [piece.low.start for piece in pieces] == [0, 8, 14]
    first = np.concatenate([np.zeros(10), (np.arange(4) + 0.5) / 4, np.ones(16)])
    second = np.concatenate([np.zeros(16), (np.arange(6) + 0.5) / 6, np.ones(8)])
    np.testing.assert_allclose(pieces[0].weight, (1 - first)[:16], atol=1e-7)
    np.testing.assert_allclose(pieces[1].weight, (first * (1 - second))[8:24], atol=1e-7)
    np.testing.assert_allclose(pieces[2].weight, second[14:], atol=1e-7)


def test_without_overlap_tiles_meet_at_a_step() -> None:
    pieces = spans(8, 4, 0, 2)
    assert len(pieces) == 2
    assert all((piece.weight == 1).all() for piece in pieces)
