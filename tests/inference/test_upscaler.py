"""The upscaler on small models whose results are known."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from promptsr.imaging import Metadata, Picture
from promptsr.imaging.picture import Density
from promptsr.inference.upscaler import Progress, Upscaler
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish
from tests.imaging.conftest import random_picture
from tests.inference.conftest import bicubic, enlarged, nearest, noise, toy


def never(x: Tensor) -> Tensor:
    raise AssertionError("the network was run")


SIDES = st.integers(1, 90)


@given(height=SIDES, width=SIDES, tile=st.integers(1, 40), overlap=st.integers(0, 30), scale=st.integers(1, 4))
def test_tiles_are_invisible_with_nearest(height: int, width: int, tile: int, overlap: int, scale: int) -> None:
    image = noise(height, width)
    model = toy(lambda x: nearest(x, scale), scale=scale)
    tiled = finish(Upscaler(model, tile=tile, overlap=overlap).upscale_tensor(image))
    torch.testing.assert_close(tiled, nearest(image, scale), atol=1e-6, rtol=0)


@given(height=SIDES, width=SIDES, tile=st.integers(16, 40), overlap=st.integers(8, 30), scale=st.integers(2, 4))
def test_tiles_are_invisible_with_bicubic(height: int, width: int, tile: int, overlap: int, scale: int) -> None:
    """Bicubic looks two pixels far, which is the margin that an overlap of eight leaves out."""
    image = noise(height, width, batch=2)
    model = toy(lambda x: bicubic(x, scale), scale=scale)
    tiled = finish(Upscaler(model, tile=tile, overlap=overlap).upscale_tensor(image))
    torch.testing.assert_close(tiled, bicubic(image, scale), atol=1e-5, rtol=0)


@given(
    height=st.integers(1, 24),
    width=st.integers(1, 24),
    dtype=st.sampled_from([np.uint8, np.uint16]),
    alpha=st.booleans(),
    grey=st.booleans(),
)
def test_nearest_keeps_every_value(height: int, width: int, dtype: type, alpha: bool, grey: bool) -> None:
    picture = random_picture(height, width, dtype, alpha=alpha, grey=grey)
    picture = replace(picture, metadata=Metadata(b"profile", b"exif", b"xmp", density=Density(11.8, 11.8)))
    if picture.alpha is not None:
        picture.alpha[picture.alpha == 0] = 1  # colours under transparent pixels are replaced, see below
    result = Upscaler(toy(nearest), tile=10)(picture).picture
    assert result.color.dtype == dtype and result.grey == grey and result.metadata == picture.metadata
    np.testing.assert_array_equal(result.color, enlarged(picture.color))
    assert (result.alpha is None) == (picture.alpha is None)
    if picture.alpha is not None:
        np.testing.assert_array_equal(result.alpha, enlarged(picture.alpha))


def test_every_sixteen_bit_value_survives() -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    picture = Picture(ramp[..., None].repeat(3, axis=2), ramp.T.copy())
    result = Upscaler(toy(lambda x: x, scale=1), tile=100)(picture).picture
    np.testing.assert_array_equal(result.color.ravel()[3:], picture.color.ravel()[3:])  # pixel 0 is transparent
    np.testing.assert_array_equal(result.alpha, ramp.T)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_output_is_clamped_and_rounded(dtype: type) -> None:
    peak = np.iinfo(dtype).max
    picture = random_picture(8, 8, dtype)
    result = Upscaler(toy(lambda x: 2 * nearest(x) - 0.5))(picture).picture
    expected = (2 * picture.color.astype(np.float64) - 0.5 * peak).clip(0, peak)
    np.testing.assert_allclose(result.color, enlarged(expected), atol=0.51)


def test_values_far_outside_are_told_for_that_picture_alone() -> None:
    """Networks overshoot a little; what they have not learned can send them to thousands."""
    astray = Upscaler(toy(lambda x: nearest(x) * torch.where(x.mean() > 0.5, -9000.0, 1.5)), tile=8, overlap=0)
    dark, bright = (Picture(np.full((8, 16, 3), value, np.uint8)) for value in (0, 255))
    bright.color[:, :8] = 20
    assert astray(bright).note == (
        "toy gave values of up to 9,000, where images have 0 to 1, so it has not learned images such as this one, and "
        "parts of the result may be noise: compare another model."
    )
    assert astray(dark).note is None
    assert Upscaler(toy(lambda x: 3 * nearest(x) - 1.5))(bright).note is None


def test_grey_is_the_mean_of_the_channels() -> None:
    offsets = torch.tensor([0.0, 0.1, 0.3]).view(1, 3, 1, 1)
    picture = random_picture(6, 7, grey=True)
    result = Upscaler(toy(lambda x: nearest(x) + offsets))(picture).picture
    expected = (picture.color + 255 * 0.4 / 3).clip(0, 255)
    np.testing.assert_allclose(result.color, enlarged(expected), atol=0.51)
    assert (result.color == result.color[..., :1]).all()


@given(height=st.integers(1, 12), width=st.integers(1, 12), seed=st.integers(0, 1000))
def test_transparent_pixels_take_the_nearest_colour(height: int, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    alpha = random.choice(np.array([0, 0, 1, 255], dtype=np.uint8), (height, width))
    color = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    result = Upscaler(toy(lambda x: x, scale=1))(Picture(color, alpha)).picture
    visible = np.argwhere(alpha)
    for row, column in itertools.product(range(height), range(width)):
        if alpha[row, column] or not len(visible):
            assert (result.color[row, column] == color[row, column]).all()
        else:
            distances = ((visible - [row, column]) ** 2).sum(axis=1)
            nearest_ones = visible[distances == distances.min()]
            assert result.color[row, column].tolist() in color[nearest_ones[:, 0], nearest_ones[:, 1]].tolist()


def test_alpha_goes_through_the_network_as_grey() -> None:
    offsets = torch.tensor([0.0, 0.1, 0.2]).view(1, 3, 1, 1)
    picture = random_picture(9, 9, alpha=True)
    result = Upscaler(toy(lambda x: bicubic(x) + offsets))(picture)
    assert picture.alpha is not None and result.picture.alpha is not None and result.tiles == 2
    expected = 255 * (bicubic(torch.from_numpy(picture.alpha / 255)[None, None])[0, 0].numpy() + 0.1)
    np.testing.assert_allclose(result.picture.alpha, expected.clip(0, 255), atol=0.51)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_constant_alpha_stays_constant_at_no_cost(value: int) -> None:
    picture = Picture(random_picture(8, 9).color, np.full((8, 9), value, dtype=np.uint8))
    result = Upscaler(toy(lambda x: nearest(x) + 0.2))(picture)
    np.testing.assert_allclose(result.picture.color, enlarged((picture.color + 51.0).clip(0, 255)), atol=0.51)
    assert result.tiles == 1
    np.testing.assert_array_equal(result.picture.alpha, np.full((16, 18), value, dtype=np.uint8))


def test_progress_counts_the_tiles_of_colour_and_alpha() -> None:
    steps = list(Upscaler(toy(nearest), tile=8, overlap=0).stream(random_picture(16, 24, alpha=True)))
    assert steps == [Progress(done, 12) for done in range(1, 13)]


def test_closing_the_stream_stops_the_work() -> None:
    calls = []

    def count(x: Tensor) -> Tensor:
        calls.append(torch.is_inference_mode_enabled())
        return nearest(x)

    stream = Upscaler(toy(count), tile=8, overlap=0).stream(random_picture(16, 24))
    assert next(stream) == Progress(1, 6) and next(stream) == Progress(2, 6)
    assert not torch.is_inference_mode_enabled()  # the caller's own work is left alone
    stream.close()
    assert calls == [True, True]
    with pytest.raises(StopIteration):
        next(stream)


def test_tile_size_follows_size_model_and_budget() -> None:
    model = toy(never, min_tile=16, bytes_per_pixel=1000)
    budget = 1000 * 100 * 100
    upscaler = Upscaler(model, memory_budget=budget)
    assert upscaler.tile_for(100, 100) is None
    assert upscaler.tile_for(10, 1000) is None
    assert upscaler.tile_for(100, 101) == 96
    assert upscaler.tile_for(4000, 4000) == 96
    assert Upscaler(model, memory_budget=1).tile_for(100, 100) == 16
    assert Upscaler(model, tile="whole", memory_budget=1).tile_for(100, 100) is None
    assert Upscaler(model, tile=64).tile_for(64, 64) is None
    assert Upscaler(model, tile=64).tile_for(10, 65) == 64


@pytest.mark.parametrize(
    ("tiling", "side", "tile"),
    [
        ("supported", 32, None),
        ("supported", 33, 32),
        ("discouraged", 90, None),  # 90 * 90 pixels are within eight times 32 * 32, and 91 * 91 are not
        ("discouraged", 91, 88),
        ("internal", 500, None),
    ],
)
def test_auto_heeds_the_tiling_advice(tiling: Any, side: int, tile: int | None) -> None:
    model = toy(never, min_tile=8, bytes_per_pixel=1024, tiling=tiling)
    assert Upscaler(model, memory_budget=32 * 32 * 1024).tile_for(side, side) == tile
    assert Upscaler(model, tile=16).tile_for(side, side) == 16


def test_too_large_results_are_refused_before_any_work() -> None:
    picture = random_picture(30, 20)
    assert Upscaler(toy(nearest), max_output_pixels=60 * 40)(picture).picture.width == 40
    with pytest.raises(UserError, match=r"40 x 60 pixels .* crop the image or use a smaller scale"):
        Upscaler(toy(never), max_output_pixels=60 * 40 - 1)(picture)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"tile": 15}, "Tiles of 15 pixels are too small for toy: use 16 or more"),
        ({"tile": "big"}, 'must be "auto", "whole" or a number of pixels, not "big"'),
        ({"overlap": -1}, "overlap of the tiles must be 0 or more"),
        ({"half": True}, "toy is not known to be safe in half precision: use full precision"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Upscaler(toy(never, min_tile=16), **setting)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta", ""])
def test_missing_devices_are_refused(device: str) -> None:
    with pytest.raises(UserError, match=f'The device "{device}" is not available'):
        Upscaler(toy(never), device=device)
