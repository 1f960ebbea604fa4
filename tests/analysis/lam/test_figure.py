"""Figures of local attribution maps as drawn: what is coloured, what is written, what lies where."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, region_scores
from analysis.lam.attribution import Attribution, PathSettings
from analysis.lam.figure import contribution_area, draw_lam, overlay, scale_colors
from analysis.lam.study import LamStudy
from analysis.lam.study_figure import draw_di
from tests.support.comparisons import noise_comparison

SCALE = 2
REGION = Region(10, 6, 13)


def attribution(values: np.ndarray, model: str = "model-0") -> Attribution:
    return Attribution(model, SCALE, REGION, PathSettings(), values.astype(np.float32), 1.0, 0.0, 0.1)


def maps(comparison: Comparison) -> list[Attribution]:
    rng = np.random.default_rng(2)
    shape = comparison.lr.shape[1:]
    return [attribution(rng.exponential(size=shape) ** 3, result.model) for result in comparison.results]


def texts(axes: Axes) -> list[str]:
    return [child.get_text() for child in axes.get_children() if isinstance(child, Annotation)]


def shown(axes: Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def columns(figure: Figure) -> list[Sequence[Axes]]:
    """Return window, map and area of each model; the colour scale comes last."""
    return [figure.axes[start : start + 3] for start in range(1, len(figure.axes) - 1, 3)]


@pytest.fixture
def one_pixel() -> Attribution:
    """Most at (1, 2), a quarter of it at (3, 4), a thirtieth at (0, 0), nothing elsewhere."""
    values = np.zeros((3, 5, 6))
    values[1, 1, 2], values[2, 3, 4], values[0, 0, 0] = -8, 2, 8 / 30
    return attribution(values)


def test_overlay_is_red_where_most_comes_from_and_grey_where_nothing_does(one_pixel: Attribution) -> None:
    image = np.random.default_rng(3).random((5, 6, 3))
    drawn = overlay(one_pixel, image, strength=1)
    np.testing.assert_allclose(drawn[1, 2], [1, 0, 0], atol=1e-6)
    untouched = one_pixel.map == 0
    assert untouched.sum() == 27 and (np.ptp(drawn[untouched], axis=1) < 1e-7).all()
    brightness = image.mean(axis=2)[untouched]
    assert np.corrcoef(drawn[untouched][:, 0], brightness)[0, 1] > 0.999  # the input can still be seen
    saturation = np.ptp(drawn, axis=2)
    assert saturation[1, 2] > saturation[3, 4] > saturation[0, 0] > 0.1  # faint ones too
    assert drawn.min() >= 0 and drawn.max() <= 1
    assert (np.ptp(overlay(one_pixel, image, strength=0), axis=2) < 1e-7).all()


def test_maps_share_the_scale_of_the_strongest(one_pixel: Attribution) -> None:
    image = np.full((5, 6, 3), 0.5)
    drawn = overlay(one_pixel, image, strength=1, largest=32)  # four times its own peak
    np.testing.assert_allclose(drawn[1, 2], scale_colors(np.array([0.25]), strength=1)[0])
    np.testing.assert_allclose(drawn[3, 4], scale_colors(np.array([0.25 / 4]), strength=1)[0])
    np.testing.assert_array_equal(overlay(one_pixel, image, largest=8), overlay(one_pixel, image))
    nothing = attribution(np.zeros((3, 5, 6)))
    np.testing.assert_array_equal(overlay(nothing, image, largest=0), overlay(nothing, image))
    figure = draw_lam(comparison := noise_comparison(models=2), maps(comparison), "noise")
    assert texts(figure.axes[-1]) == ["0", "10 %", "50 %", "100 %", "of the largest attribution"]
    np.testing.assert_allclose(shown(figure.axes[-1])[0, [0, -1]], scale_colors(np.array([0, 1])))


def test_area_holds_what_is_above_the_level(one_pixel: Attribution) -> None:
    image = np.random.default_rng(3).random((5, 6, 3))
    for level, expected in ((0.05, {(1, 2), (3, 4)}), (0.25, {(1, 2)}), (0.01, {(0, 0), (1, 2), (3, 4)})):
        colored = np.ptp(contribution_area(one_pixel, image, level), axis=2) > 0.1
        assert {tuple(place) for place in np.argwhere(colored).tolist()} == expected


def test_columns_show_window_map_and_area_of_every_model() -> None:
    comparison = noise_comparison(models=3)
    attributions = maps(comparison)
    figure = draw_lam(comparison, attributions, "noise")
    whole = figure.axes[0]
    [box] = [patch for patch in whole.patches if isinstance(patch, Rectangle)]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (9.5, 5.5, 13, 13)  # pixel middles are whole numbers
    assert comparison.hr is not None
    np.testing.assert_array_equal(shown(whole), comparison.hr[0].permute(1, 2, 0))  # 3 x H x W -> H x W x 3
    assert texts(whole) == ["noise (×2), HR"]
    image = comparison.lr[0].permute(1, 2, 0).numpy()  # 3 x H x W -> H x W x 3
    for (crop, lam, area), result, found in zip(columns(figure), comparison.results, attributions, strict=True):
        np.testing.assert_array_equal(shown(crop), result.sr[0].permute(1, 2, 0)[6:19, 10:23])
        psnr, ssim = region_scores(result.sr, comparison.hr, REGION)
        assert texts(crop) == [result.model, f"{psnr:.2f}/{ssim:.4f}"]
        largest = max(np.abs(each.values.sum(0)).max() for each in attributions)
        np.testing.assert_allclose(shown(lam), overlay(found, image, largest=largest))
        np.testing.assert_array_equal(shown(area), contribution_area(found, image))
        inside = 100 * (found.map > 0.01).mean()
        assert texts(area) == [f"Contribution area: {inside:.1f} %", f"DI: {found.di:.2f}"]


def test_without_hr_the_input_stands_there_without_scores() -> None:
    comparison = noise_comparison(models=1, scored=False)
    nothing = attribution(np.zeros((3, 20, 30)))
    figure = draw_lam(comparison, [nothing], "noise")
    assert texts(figure.axes[0]) == ["noise (×2), Input"]
    [(crop, _, area)] = columns(figure)
    assert texts(crop) == ["model-0"] and texts(area) == ["Contribution area: 0.0 %", "DI: none"]


@pytest.mark.parametrize(("height", "width"), [(20, 30), (14, 120), (120, 14)])
@pytest.mark.parametrize("models", [1, 4])
def test_nothing_is_clipped_distorted_or_covered(height: int, width: int, models: int) -> None:
    comparison = noise_comparison(SCALE * height, SCALE * width, models)
    figure = draw_lam(comparison, maps(comparison), "noise")
    figure.canvas.draw()
    pictures = [axes.get_window_extent() for axes in figure.axes]
    for axes, box in zip(figure.axes, pictures, strict=True):
        rows, across = shown(axes).shape[:2]
        assert box.width / box.height == pytest.approx(across / rows)
    labels = [
        child.get_window_extent()
        for axes in figure.axes[1:]
        for child in axes.get_children()
        if isinstance(child, Annotation)
    ]
    extents = [*pictures, *labels]
    for index, extent in enumerate(extents):
        inner = extent.padded(-1)
        assert min(inner.x0, inner.y0) >= 0 and inner.x1 <= figure.bbox.x1 and inner.y1 <= figure.bbox.y1
        assert not any(inner.overlaps(other) for other in extents[:index])


def study(images: int) -> LamStudy:
    rng = np.random.default_rng(5)
    rows = [
        (f"{image}.png", x, 0, name, level + rng.random())
        for image in range(images)
        for x in (0, 16)
        for name, level in (("far", 9), ("near", 2))
    ]
    frame = pd.DataFrame(rows, columns=["image", "x", "y", "model", "di"])
    return LamStudy(("far", "near"), 4, 16, 64, 0, PathSettings(), frame, {})


@pytest.mark.parametrize("images", [1, 7])
def test_mean_and_interval_stand_over_the_images(images: int) -> None:
    found = study(images)
    [axes] = draw_di(found).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["far", "near"]
    top, bottom = (axes.transData.transform((0, line))[1] for line in (0, 1))
    assert top > bottom  # in the order of the models
    points = [artist for artist in axes.collections if isinstance(artist, PathCollection)]
    for line, (cloud, mean) in enumerate(zip(points, found.means.itertuples(), strict=True)):
        places = np.asarray(cloud.get_offsets())
        assert len(places) == images
        np.testing.assert_allclose(np.sort(places[:, 0]), np.sort(found.di[mean.model]))
        assert (np.abs(places[:, 1] - line) < 0.3).all()
    drawn = [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    means = found.means
    expected = [[mean.di] if images == 1 else [mean.low, mean.high] for mean in means.itertuples()]
    assert [values for values in drawn if len(values) == len(expected[0])] == expected
    assert texts(axes) == [f"{value:.2f}" for value in means["di"]]
    assert f"{images} image" in axes.get_xlabel() and "64 × 64" in axes.get_xlabel()
