"""Names of files and models in figures, which may look like formulas, are drawn as they are."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.anchors.embedding import Planes
from analysis.anchors.figure import draw_numbers, draw_tsne
from analysis.anchors.points import Points
from analysis.anchors.separation import Separation, Separations
from analysis.attention.stability import StabilityStudy
from analysis.attention.stability_figure import draw_stability
from analysis.common.image_windows import Region
from analysis.comparison.figure import draw_comparison
from analysis.comparison.impulse import ImpulseResponse
from analysis.comparison.similarity import SimilarityStudy
from analysis.comparison.similarity_figure import draw_similarity
from analysis.comparison.spectrum import SpectrumStudy, band_spectrum
from analysis.comparison.spectrum_figure import draw_spectrum
from analysis.complexity.figure import draw_accuracy
from analysis.complexity.study import Point
from analysis.failures.figure import draw_texture
from analysis.lam.attribution import Attribution, PathSettings
from analysis.lam.figure import draw_lam
from analysis.lam.study import LamStudy
from analysis.lam.study_figure import draw_di
from tests.support.comparisons import noise_comparison

NAMES = ("$x$ [b].png", "$x^{$", "\udcff|$.png")
"""A formula, a wrong formula, which would end the drawing, and a name of a file that is not Unicode."""


LAYER_COLUMNS = ("layer", "change", "change_held", "coarse_flips", "fine_flips")


def lam(name: str) -> Figure:
    comparison, region = noise_comparison(models=1), Region(10, 6, 13)
    values = np.ones((3, *comparison.lr.shape[2:]), dtype=np.float32)
    return draw_lam(comparison, [Attribution(name, 2, region, PathSettings(), values, 1.0, 0.0, 0.1)], name)


def di(name: str) -> Figure:
    frame = pd.DataFrame(
        [("one", 0, 0, name, 3.0), ("two", 0, 0, name, 5.0)], columns=["image", "x", "y", "model", "di"]
    )
    return draw_di(LamStudy((name,), 2, 16, 64, 0, PathSettings(), frame, {}))


def tsne(name: str) -> Figure:
    rng = np.random.default_rng(0)
    planes = Planes(rng.normal(size=(8, 2)), rng.normal(size=(2, 4, 2)), 5)
    points = Points(np.zeros((2, 4, 3)), np.arange(4), np.arange(4) % 2, (name, "other"), tuple("abcd"))
    return draw_tsne(points, planes)


def numbers(name: str) -> Figure:
    one = Separation(0.1, 0.5, 0.2, 0.5, 0.1, 0.3, 0.2)
    return draw_numbers({name: Separations(one, (one,))})


def texture(name: str) -> Figure:
    columns = ["texture", "psnr_y", "psnr_y_low", "psnr_y_high"]
    return draw_texture(pd.DataFrame([[1.0, 30.0, 29.0, 31.0]], columns=columns).assign(model=name))


def stability(name: str) -> Figure:
    layers = pd.DataFrame([(name, "block 1.1", 0.1, 0.1, 0.5, 0.5)], columns=["model", *LAYER_COLUMNS])
    steps = pd.DataFrame([(name, 1e-6, 0.1, 0.1)], columns=["model", "step", "change", "change_held"])
    study = StabilityStudy(2, 1e-6, 1, layers, pd.DataFrame(), steps, torch.zeros(1, 3, 4, 4), np.zeros((8, 8)))
    return draw_stability(study, name)


def spectrum(name: str) -> Figure:
    bands = band_spectrum(np.eye(20), np.ones((20, 20)), 2).assign(model=name, strength=1.0)
    response = ImpulseResponse(name, 2, np.eye(20), 0.0)
    return draw_spectrum(SpectrumStudy((name,), 2, bands, pd.DataFrame(), (response,), {}))


def similarity(name: str) -> Figure:
    values = np.ones((1, 2, 2))
    return draw_similarity(SimilarityStudy(((name, "one"), ("other", "two")), values, values, 5, {}))


DRAWN: list[Callable[[str], Figure]] = [
    *(lam, di, tsne, numbers, texture, stability, spectrum, similarity),
    lambda name: draw_comparison(noise_comparison(models=1), Region(10, 6, 13), name),
    lambda name: draw_accuracy([Point(name, 5e5, 26.0, "measured")], "Set5", 4),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("draw", DRAWN)
def test_names_are_no_formulas(draw: Callable[[str], Figure], name: str) -> None:
    figure, name = draw(name), name.encode(errors="backslashreplace").decode()
    figure.draw_without_rendering()
    named = [text for text in figure.findobj(Text) if isinstance(text, Text) and name in text.get_text()]
    assert named and not any(text.get_parse_math() for text in named)
