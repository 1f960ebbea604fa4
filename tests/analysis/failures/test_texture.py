"""Texture statistics by hand, and how often blur is told from artefacts on real results with planted failures."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from skimage import data
from sklearn.datasets import load_sample_images

from analysis.failures.texture import detail, error_by_texture, kind_of_loss, texture
from promptsr.data import make_lr
from promptsr.imaging.metrics import luma, quantize
from promptsr.zoo.load import load_model

Plant = Callable[[np.ndarray], np.ndarray]
WINDOW = 64
ROWS, COLUMNS = np.mgrid[:WINDOW, :WINDOW]


def noise(seed: int, sigma: float) -> np.ndarray:
    """Grey levels that mean nothing."""
    field: np.ndarray = np.random.default_rng(seed).normal(size=(WINDOW, WINDOW))
    return sigma * field


def detail_of(luma: np.ndarray) -> np.ndarray:
    """Luma minus its blur by a Gaussian of sigma 6."""
    blurred: np.ndarray = ndimage.gaussian_filter(luma, 6)
    return luma - blurred


def test_texture_of_a_ramp_of_noise_and_of_nothing() -> None:
    ramp = 3.0 * COLUMNS + 4.0 * ROWS
    found = texture(ramp)
    assert (found.contrast, found.gradient, found.coherence) == pytest.approx((ramp.std(), 5, 1))  # 3, 4, 5
    assert texture(noise(0, 20)).coherence < 0.05
    flat = texture(np.full((WINDOW, WINDOW), 90.0))
    assert (flat.contrast, flat.gradient, flat.coherence) == (0, 0, 0)


def test_missing_and_invented_detail_add_up_to_the_error_of_the_detail() -> None:
    hr = 120 + ndimage.gaussian_filter(noise(1, 60), 1)
    sr = ndimage.gaussian_filter(hr, 1) + noise(2, 5)
    found = detail(sr, hr)
    assert found.missing > 0 and found.invented > 0
    assert found.missing + found.invented == pytest.approx(np.square(detail_of(sr) - detail_of(hr)).mean(), rel=1e-3)


def test_what_is_missing_and_what_is_invented() -> None:
    hr = 120 + noise(3, 20)
    energy = np.square(detail_of(hr)).mean()
    nothing = detail(np.full_like(hr, 120.0), hr)
    assert nothing.missing == pytest.approx(energy, rel=0.01) and nothing.invented == pytest.approx(0, abs=1e-9)
    half = detail(120 + (hr - 120) / 2, hr)
    assert half.missing == pytest.approx(energy / 4, rel=0.05) and half.invented < 0.01 * energy
    assert half.high_frequency_db == pytest.approx(10 * np.log10(1 / 4), abs=0.1)
    twice = detail(120 + (hr - 120) * 2, hr)
    assert twice.invented == pytest.approx(energy, rel=0.05) and twice.missing < 0.01 * energy
    same = detail(hr, hr)
    assert same.missing + same.invented < 0.1 and same.high_frequency_db == 0


def blur(sigma: float) -> Plant:
    return lambda y: ndimage.gaussian_filter(y, sigma)


def add(pattern: np.ndarray) -> Plant:
    return lambda y: y + pattern


def oversharpen(strength: float) -> Plant:
    return lambda y: y + strength * (y - ndimage.gaussian_filter(y, 1.5))


BLURS = [blur(sigma) for sigma in (1.5, 2, 3, 5)]
CHECKERBOARD = (ROWS // 2 + COLUMNS // 2) % 2 * 2 - 1
STRIPES = np.sin((2 * ROWS + COLUMNS) * 0.5)
ARTEFACTS = [
    *(add(levels * pattern) for levels in (8, 24) for pattern in (CHECKERBOARD, STRIPES)),
    *(add(noise(4, sigma)) for sigma in (6, 16)),
    *(oversharpen(strength) for strength in (1, 2)),
]


def planted_failures() -> list[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
    """Kind, Y of the HR window, of the failing result and of the other: where the plant is most of a loss over 1 dB."""
    photos = [data.astronaut(), data.coffee(), data.chelsea(), *load_sample_images().images]
    models = [load_model(name) for name in ("promptsr-tiny-x4", "bicubic-x4")]
    cases = []
    for photo in photos:
        hr = torch.from_numpy(photo[60:252, 120:312].copy()).permute(2, 0, 1)[None] / 255  # H x W x 3 -> 1 x 3 x H x W
        with torch.inference_mode():
            results = [quantize(model(make_lr(hr, 4))) for model in models]
        true, *luminances = (luma(image)[0, 0].numpy() for image in (hr, *results))
        for y in range(0, 192, WINDOW):
            for x in range(0, 192, WINDOW):
                h, *made = (image[y : y + WINDOW, x : x + WINDOW] for image in (true, *luminances))
                for kind, plants in (("blur", BLURS), ("artefact", ARTEFACTS)):
                    for a, b, p in ((plant(own), b, own) for plant in plants for own in made for b in made):
                        mse_a, mse_b, mse_p = (np.square(image - h).mean() for image in (a, b, p))
                        if mse_a + 1 > 1.26 * (mse_b + 1) and mse_a - mse_p > max((mse_a - mse_b) / 2, 0.25 * mse_p):
                            cases.append((kind, h, a, b))
    return cases


def test_blur_is_told_from_artefacts() -> None:
    right: dict[str, list[tuple[bool, ...]]] = {"blur": [], "artefact": []}
    for kind, h, a, b in planted_failures():
        own, other = detail(a, h), detail(b, h)
        guesses = kind_of_loss(own, other) == "artefact", own.invented > own.missing, own.high_frequency_db > 0
        right[kind].append(tuple(guess == (kind == "artefact") for guess in guesses))
    assert min(map(len, right.values())) > 100
    rule, alone, sign = np.mean([np.mean(outcomes, axis=0) for outcomes in right.values()], axis=0)
    assert rule > 0.98
    assert alone < rule - 0.005 and sign < rule - 0.1  # or a simpler rule would do


def test_error_by_texture_is_binned_by_equal_counts() -> None:
    rng = np.random.default_rng(5)
    windows = pd.DataFrame({"texture": rng.permutation(100) / 2, "mse a": rng.random(100), "mse b": np.zeros(100)})
    table = error_by_texture(windows, ["a", "b"], bins=4)
    assert list(table["model"]) == ["a"] * 4 + ["b"] * 4
    assert list(table["bin"]) == [0, 1, 2, 3] * 2 and set(table["windows"]) == {25}
    for row in table[table["model"] == "a"].to_dict("records"):
        number = row["bin"]
        inside = windows["mse a"][windows["texture"].between(12.5 * number, 12.5 * number + 12)]
        assert row["texture_low"] == 12.5 * number and row["texture_high"] == 12.5 * number + 12
        assert row["mse"] == pytest.approx(inside.mean())
        assert row["psnr_y"] == pytest.approx(10 * np.log10(255**2 / inside.mean()))
        quartiles = 10 * np.log10(255**2 / np.quantile(inside, [0.75, 0.25]))
        assert (row["psnr_y_low"], row["psnr_y_high"]) == pytest.approx(tuple(quartiles))
    assert np.isinf(table["psnr_y"][4:]).all()
    assert len(error_by_texture(windows[:2], ["a"])) == 2  # few windows make few bins
