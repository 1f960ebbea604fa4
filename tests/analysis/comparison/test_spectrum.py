"""Spectra of errors: Parseval, planted waves, planted loss of strength, and the study over a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from analysis.common.bootstrap import bootstrap_interval
from analysis.common.each_image import ImageLog
from analysis.comparison.compare import compare
from analysis.comparison.spectrum import BANDS, SpectrumStudy, band_spectrum, spectrum_study
from promptsr.data import load_pair
from promptsr.data.pairs import find_pairs
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model

Waves = Callable[[np.ndarray, np.ndarray], np.ndarray]
RNG = np.random.default_rng(0)
HR = 128 + 40 * RNG.normal(size=(48, 80))


def test_the_bands_add_up_to_the_mean_squared_error() -> None:
    sr = HR + RNG.normal(2, 5, HR.shape)
    bands = band_spectrum(sr, HR, 4)
    assert bands["error"].sum() == pytest.approx(((sr - HR) ** 2).mean(), rel=1e-9)
    assert bands["hr"].sum() == pytest.approx(HR.var(), rel=1e-9)
    assert bands["sr"].sum() == pytest.approx(((sr - HR.mean()) ** 2).mean(), rel=1e-9)
    np.testing.assert_allclose(bands["missing"] + bands["invented"], bands["error"])
    np.testing.assert_allclose(bands["hr"] + bands["sr"] - 2 * bands["product"], bands["error"])
    np.testing.assert_allclose(bands["low"], np.arange(16) / 8)
    np.testing.assert_allclose(bands["high"], np.arange(1, 17) / 8)


@pytest.mark.parametrize(
    ("wave", "band"),
    [
        (lambda y, x: np.cos(np.pi * 24 * (2 * x + 1) / 160), 4),  # 4 * 24 / 160 = 0.6 cycles per input pixel
        (lambda y, x: np.cos(np.pi * 5 * (2 * y + 1) / 96), 1),  # 4 * 5 / 96 = 0.21
        (lambda y, x: np.cos(np.pi * 5 * (2 * y + 1) / 96) * np.cos(np.pi * 24 * (2 * x + 1) / 160) * 2**0.5, 4),
    ],
)
def test_a_planted_wave_is_in_its_band(wave: Waves, band: int) -> None:
    bands = band_spectrum(HR + 3 * wave(*np.indices(HR.shape)), HR, 4)
    expected = np.zeros(16)
    expected[band] = 4.5  # 3^2 / 2
    np.testing.assert_allclose(bands["error"], expected, atol=1e-9)


def test_a_wave_of_any_phase_and_frequency_is_mostly_in_its_band() -> None:
    x = np.indices((96, 128))[1]
    hr = np.full(x.shape, 100.0)
    bands = band_spectrum(hr + np.sin(2 * np.pi * 0.687 * x / 4 + 1.1), hr, 4)  # 0.687 cycles per input pixel
    assert bands["error"].idxmax() == 5 and bands["error"][5] > 0.9 * bands["error"].sum()
    assert bands["invented"].sum() == pytest.approx(bands["error"].sum())  # a flat original misses nothing


def test_lost_strength_is_missing_and_other_waves_are_invented() -> None:
    half = band_spectrum(HR.mean() + 0.5 * (HR - HR.mean()), HR, 2)
    np.testing.assert_allclose(half["missing"], 0.25 * half["hr"])
    np.testing.assert_allclose(half["invented"], 0, atol=1e-12)
    np.testing.assert_allclose(half["product"] / half["hr"], 0.5)
    nothing = band_spectrum(np.full(HR.shape, HR.mean()), HR, 2)
    np.testing.assert_allclose(nothing["missing"], nothing["error"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()[:96, 150:262]).save(folder / "a.png")
    Image.fromarray(data.chelsea()[60:140, 100:196]).save(folder / "b.png")
    Image.new("RGB", (64, 20)).save(folder / "small.png")
    return folder


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> ImageLog:
    return ImageLog(tmp_path_factory.mktemp("log"))


@pytest.fixture(scope="module")
def study(folder: Path, log: ImageLog) -> SpectrumStudy:
    models = [load_model("bicubic-x4"), load_model("promptsr-tiny-x4")]
    return finish(spectrum_study(models, find_pairs(folder, None), log=log))


def test_errors_are_those_of_psnr(folder: Path, study: SpectrumStudy) -> None:
    assert list(study.skipped) == ["small.png"] and len(study.images) == 4
    for name in ("a.png", "b.png"):
        hr, lr = load_pair(folder / name, 4)
        comparison = finish(compare([load_model(model) for model in study.models], lr, hr))
        own = study.images[study.images["image"] == name].set_index("model")["mse"]
        for result in comparison.results:
            assert result.psnr_y == pytest.approx(10 * np.log10(255**2 / own[result.model]))


def test_means_over_the_images(study: SpectrumStudy) -> None:
    own = study.images[study.images["model"] == "promptsr-tiny-x4"]
    row = study.means.set_index("model").loc["promptsr-tiny-x4"]
    assert row["mse"] == pytest.approx(own["mse"].mean()) and row["above"] == pytest.approx(own["above"].mean())
    assert (row["above_low"], row["above_high"]) == bootstrap_interval(own["above"].to_numpy(), 0)
    np.testing.assert_allclose(own["missing"] + own["invented"], 1)
    bands = study.bands[study.bands["model"] == "promptsr-tiny-x4"]
    assert bands["error"].sum() == pytest.approx(own["mse"].mean())
    assert (own["mse"] * own["above"]).mean() == pytest.approx(bands["error"][BANDS:].sum())
    bicubic = study.bands[study.bands["model"] == "bicubic-x4"]["strength"].to_numpy()
    assert bicubic[0] > 0.97 and abs(bicubic[BANDS + 2 :]).max() < 0.1  # interpolation adds nothing up there
    assert [response.model for response in study.impulses] == list(study.models)
    assert study.to_dict()["images"] == 2


def test_a_study_goes_on_from_its_log(
    folder: Path, log: ImageLog, study: SpectrumStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analysis.comparison.spectrum.compare", None)
    models = [load_model("bicubic-x4"), load_model("promptsr-tiny-x4")]
    again = finish(spectrum_study(models, find_pairs(folder, None), log=log))
    assert again.bands.equals(study.bands) and again.images.equals(study.images)


def test_refusals(folder: Path) -> None:
    bicubic = load_model("bicubic-x4")
    with pytest.raises(UserError, match="Two models are called"):
        finish(spectrum_study([bicubic, bicubic], find_pairs(folder, None)))
    with pytest.raises(UserError, match="There is no model"):
        finish(spectrum_study([], find_pairs(folder, None)))
