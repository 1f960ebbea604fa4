"""Wished sizes, and the Lanczos filter that makes them, against Pillow and a plain formula."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from promptsr.imaging import Picture
from promptsr.inference import lanczos
from promptsr.inference.sizes import Size
from promptsr.inference.upscaler import Progress, Upscaler
from promptsr.support.errors import ConfigError, UserError
from tests.imaging.conftest import random_picture
from tests.inference.conftest import nearest, toy


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (Size(), (1200, 1600)),
        (Size(scale=2.5), (750, 1000)),
        (Size(scale=0.1), (30, 40)),
        (Size(scale=1e-9), (1, 1)),
        (Size(width=1001), (751, 1001)),
        (Size(height=1001), (1001, 1335)),
        (Size(width=1000, height=300), (300, 400)),  # fits within both
        (Size(width=333, height=3000), (250, 333)),
        (Size(max_side=1000), (750, 1000)),
        (Size(max_side=5000), (1200, 1600)),  # the network does not make more
    ],
)
def test_wishes_give_these_sizes(size: Size, expected: tuple[int, int]) -> None:
    assert size.of(300, 400, 4) == expected


SIDES = st.integers(1, 10**5)


@given(SIDES, SIDES, SIDES, SIDES, st.integers(1, 4))
def test_wished_sides_are_exact_and_proportions_stay(
    height: int, width: int, most: int, other: int, scale: int
) -> None:
    assert Size(width=most).of(height, width, scale)[1] == most
    assert Size(height=most).of(height, width, scale)[0] == most
    rows, columns = Size(width=most, height=other).of(height, width, scale)
    assert rows <= other and columns <= most and (rows == other or columns == most)
    assert min(rows, columns) == 1 or abs(rows / height - columns / width) <= 1 / (2 * min(height, width)) + 1e-9
    assert max(Size(max_side=most).of(height, width, scale)) == min(most, scale * max(height, width))


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["scale", "width", "height", "max_side"])
def test_impossible_wishes_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be more than 0"):
        Size(**{name: value})


def test_several_wishes_are_refused() -> None:
    with pytest.raises(ConfigError, match="Choose one of scale and width"):
        Size(scale=2, width=100)
    with pytest.raises(ConfigError, match="Choose one of width and height and max_side"):
        Size(width=100, height=100, max_side=100)


def resized(picture: Picture, height: int, width: int) -> Picture:
    color = np.empty((height, width, 3), picture.color.dtype)
    target = Picture(color, None if picture.alpha is None else np.empty_like(color[..., 0]), picture.grey)
    for _ in lanczos.resize(picture, target):
        pass
    return target


@given(*[st.integers(1, 60)] * 2, *[st.integers(1, 150)] * 2, st.integers(0, 9))
def test_eight_bits_are_pillows_within_one_level(height: int, width: int, rows: int, columns: int, seed: int) -> None:
    picture = random_picture(height, width, seed=seed)
    expected = Image.fromarray(picture.color).resize((columns, rows), Image.Resampling.LANCZOS)
    found = resized(picture, rows, columns).color.astype(int)
    assert np.abs(found - np.asarray(expected)).max() <= 1


def matrix(size: int, out: int) -> np.ndarray:
    """Lanczos along one axis, out x in, in float64."""
    stretch = max(1.0, size / out)
    x = (np.arange(size) + 0.5 - (np.arange(out)[:, None] + 0.5) * size / out) / stretch
    weights = np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)
    return weights / weights.sum(1, keepdims=True)


def filtered(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """H x W x C in [0, 1], clamped after each axis."""
    lines = np.einsum("pw,hwc->hpc", matrix(values.shape[1], columns), values).clip(0, 1)
    return np.einsum("oh,hpc->opc", matrix(values.shape[0], rows), lines).clip(0, 1)


@pytest.mark.parametrize("part", [1, lanczos._PART])
@pytest.mark.parametrize(("rows", "columns"), [(31, 200), (150, 17), (80, 70)])
@pytest.mark.parametrize("grey", [False, True])
def test_sixteen_bits_and_alpha_are_the_formulas(
    monkeypatch: pytest.MonkeyPatch, grey: bool, rows: int, columns: int, part: int
) -> None:
    """In strips of one line, too."""
    monkeypatch.setattr(lanczos, "_PART", part)
    picture = random_picture(80, 70, np.uint16, alpha=True, grey=grey)
    picture.alpha[20:60] = 0  # type: ignore[index]
    picture.alpha[:, 50:] = 65535  # type: ignore[index]
    found = resized(picture, rows, columns)
    color, alpha = picture.color / 65535, picture.alpha[..., None] / 65535  # type: ignore[index]
    expected_alpha = filtered(alpha, rows, columns)
    assert found.alpha is not None
    np.testing.assert_allclose(found.alpha, 65535 * expected_alpha[..., 0], atol=0.6)
    plain, weighted = filtered(color, rows, columns), filtered(color * alpha, rows, columns)
    clear = expected_alpha[..., 0] > 0.1
    expected = (weighted[clear] / expected_alpha[clear]).clip(0, 1)
    np.testing.assert_allclose(found.color[clear], 65535 * expected, atol=1)
    unseen = 65535 * expected_alpha[..., 0] < 0.4
    assert unseen.any()
    np.testing.assert_allclose(found.color[unseen], 65535 * plain[unseen], atol=0.6)
    if grey:
        assert (found.color == found.color[..., :1]).all()


def test_hidden_colours_leave_no_edges() -> None:
    """A white disc on transparent black stays white up to its edge, and an opaque one keeps its alpha."""
    y, x = np.mgrid[-20:20, -20:20]
    alpha = np.where(x**2 + y**2 < 200, 255, 0).astype(np.uint8)
    color = np.repeat(alpha[..., None], 3, 2)
    made = resized(Picture(color, alpha), 27, 27)
    assert made.alpha is not None and (made.color[made.alpha > 0] == 255).all()
    opaque = resized(Picture(color, np.full_like(alpha, 255)), 27, 27)
    np.testing.assert_array_equal(opaque.alpha, 255)
    np.testing.assert_array_equal(opaque.color, resized(Picture(color), 27, 27).color)


@pytest.mark.parametrize(
    ("size", "shape"), [(Size(scale=2.5), (50, 75)), (Size(scale=0.5), (10, 15)), (Size(width=60), (40, 60))]
)
def test_the_network_enlarges_once_and_the_filter_does_the_rest(size: Size, shape: tuple[int, int]) -> None:
    picture = random_picture(20, 30, np.uint16, alpha=True, grey=True)
    upscaler = Upscaler(toy(nearest), size=size)
    steps: list[Progress] = []
    result = upscaler(picture)
    for step in upscaler.stream(picture):
        steps.append(step)
    assert result.picture.color.shape == (*shape, 3) and result.picture.grey and result.tiles == 2
    expected = resized(Upscaler(toy(nearest))(picture).picture, *shape)
    np.testing.assert_array_equal(result.picture.color, expected.color)
    np.testing.assert_array_equal(result.picture.alpha, expected.alpha)
    assert set(steps) == {Progress(1, 2), Progress(2, 2)}  # the last one once more for each strip


def test_the_limit_counts_the_larger_of_both_results() -> None:
    picture = random_picture(10, 10)
    for size, most in ((Size(scale=4), 40 * 40), (Size(scale=1), 20 * 20)):
        assert (
            Upscaler(toy(nearest), size=size, max_output_pixels=most)(picture).picture.height == size.of(10, 10, 2)[0]
        )
        with pytest.raises(UserError, match="more than the limit"):
            Upscaler(toy(nearest), size=size, max_output_pixels=most - 1)(picture)
