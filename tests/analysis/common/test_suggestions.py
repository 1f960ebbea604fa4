"""Suggested places against a search over every window in plain numpy."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from analysis.common.suggestions import KINDS, suggest
from promptsr.support.errors import UserError

BT601 = np.array([65.481, 128.553, 24.966])


def grey(image: Tensor) -> np.ndarray:
    """Y without its constant: 1 x 3 x H x W -> H x W."""
    return np.einsum("chw,c->hw", image[0].double().numpy(), BT601)


def gradient(values: np.ndarray) -> np.ndarray:
    found = np.zeros_like(values)
    for y, x in np.ndindex(values.shape):
        found[y, x] = np.hypot(values[y, x] - values[max(y - 1, 0), x], values[y, x] - values[y, max(x - 1, 0)])
    return found


def worth(kind: str, hr: Tensor | None, results: list[Tensor], window: tuple[slice, slice]) -> float:
    """Return the quantity that a kind maximises over windows."""
    if kind == "disagreement":
        return max(np.abs(grey(a)[window] - grey(b)[window]).mean() for a in results for b in results)
    if kind == "hardest":
        assert hr is not None
        return float(np.square(grey(results[-1])[window] - grey(hr)[window]).mean())
    return float(gradient(grey(results[0] if hr is None else hr))[window].mean())


@given(
    kind=st.sampled_from([*KINDS]),
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    size=st.integers(1, 14),
    count=st.integers(2, 4),
    scored=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_no_window_is_worth_more(
    kind: str, height: int, width: int, size: int, count: int, scored: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    lr, hr, *results = (torch.rand(1, 3, height, width).mul(4).round().div(4) for _ in range(count + 2))
    known = hr if scored or kind == "hardest" else None
    region = suggest(kind, lr, known, results, size)
    side = min(size, height, width)
    assert region.size == side and 0 <= region.x <= width - side and 0 <= region.y <= height - side
    values = {
        (y, x): worth(kind, known, results, (slice(y, y + side), slice(x, x + side)))
        for y in range(height - side + 1)
        for x in range(width - side + 1)
    }
    best = max(values.values())
    first = next(place for place, value in values.items() if value == pytest.approx(best, rel=1e-12, abs=1e-12))
    assert (region.y, region.x) == first


def test_without_results_texture_is_that_of_the_input() -> None:
    lr = torch.zeros(1, 3, 20, 30)
    lr[..., 9, 17] = 1
    region = suggest("texture", lr, None, [], 4)
    assert (region.x, region.y) == (15, 7)  # the first window with the dot and both steps down from it


@pytest.mark.parametrize(
    ("kind", "scored", "count", "size", "message"),
    [
        ("disagreement", True, 1, 4, "choose two models or more"),
        ("hardest", False, 2, 4, "by an HR image and a result"),
        ("hardest", True, 0, 4, "choose another suggestion"),
        ("texture", True, 1, 0, "window of 0 pixels"),
        ("prettiest", True, 2, 4, "choose one of disagreement, hardest, texture"),
    ],
)
def test_what_cannot_be_suggested_is_refused(kind: str, scored: bool, count: int, size: int, message: str) -> None:
    image = torch.zeros(1, 3, 8, 8)
    with pytest.raises(UserError, match=message):
        suggest(kind, image, image if scored else None, [image] * count, size)
