"""Windows over an image against plain loops."""

import numpy as np
import pytest
import torch

from analysis.common.image_windows import middle, pick, starts, window_means


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [(10, 4, 3, [0, 3, 6]), (11, 4, 3, [0, 3, 6, 7]), (4, 4, 3, [0]), (3, 4, 3, []), (9, 2, 20, [0, 7])],
)
def test_windows_reach_the_end(length: int, window: int, stride: int, expected: list[int]) -> None:
    assert starts(length, window, stride).tolist() == expected


def test_means_of_windows() -> None:
    values = np.random.default_rng(0).random((2, 13, 9))
    rows, columns = starts(13, 4, 2), starts(9, 4, 3)
    means = window_means(values, 4, rows, columns)
    assert means.shape == (2, len(rows), len(columns))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            assert means[:, i, j] == pytest.approx(values[:, y : y + 4, x : x + 4].mean(axis=(1, 2)))


def test_picks_the_best_that_hardly_overlap() -> None:
    values = np.random.default_rng(1).random((30, 40))
    rows, columns = np.arange(30), np.arange(40)
    picked = pick(values, 8, rows, columns, count=1000, above=0.3, overlap=0.25)
    assert values[picked[0]] == values.max()
    heights = [values[place] for place in picked]
    assert heights == sorted(heights, reverse=True) and min(heights) > 0.3

    def common(one: tuple[int, int], other: tuple[int, int]) -> int:
        down, across = (max(0, 8 - abs(a - b)) for a, b in zip(one, other, strict=True))
        return down * across

    assert all(common(one, other) <= 16 for i, one in enumerate(picked) for other in picked[:i])
    for place in np.argwhere(values > 0.3):  # whatever was left out overlaps something better
        y, x = int(place[0]), int(place[1])
        assert (y, x) in picked or any(common((y, x), one) > 16 and values[one] > values[y, x] for one in picked)
    assert pick(values, 8, rows, columns, count=3, above=0.3, overlap=0.25) == picked[:3]
    assert pick(values, 8, rows, columns, count=3, above=1.0, overlap=0.25) == []


def test_middle_of_an_image() -> None:
    image = torch.arange(5 * 8).view(1, 1, 5, 8)
    assert torch.equal(middle(image, 4), image[:, :, :4, 2:6])
    assert torch.equal(middle(image, 6), image[:, :, :, 1:7]) and torch.equal(middle(image, 9), image)
