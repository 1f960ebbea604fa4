"""The figure of a comparison as drawn: the box, the crops, the labels, and what is bold."""

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from PIL import Image

from analysis.common.figure_style import publish
from analysis.common.image_windows import Region
from analysis.comparison.compare import region_scores
from analysis.comparison.figure import difference_scale, draw_comparison, paint_difference
from tests.support.comparisons import noise_comparison

SCALE = 2


def texts(axes: Axes) -> list[Annotation]:
    """Texts below a picture."""
    return [child for child in axes.get_children() if isinstance(child, Annotation)]


def test_crops_show_the_region_of_every_picture() -> None:
    comparison, region = noise_comparison(), Region(11, 7, 13)
    whole, *crops = draw_comparison(comparison, region, "noise").axes
    assert comparison.hr is not None
    for axes, image in zip(crops, [comparison.hr, *(result.sr for result in comparison.results)], strict=True):
        expected = image[0].permute(1, 2, 0).numpy()[7:20, 11:24]  # 1 x 3 x H x W -> H x W x 3
        np.testing.assert_array_equal(np.asarray(axes.images[0].get_array()), expected)
    [box] = [patch for patch in whole.patches if isinstance(patch, Rectangle)]
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (10.5, 6.5, 13, 13)  # pixel middles are whole numbers
    assert [text.get_text() for text in texts(whole)] == ["noise (×2)"]


def test_labels_hold_the_scores_and_the_best_is_bold() -> None:
    comparison, region = noise_comparison(), Region(11, 7, 13)
    _, first, *crops = draw_comparison(comparison, region, "noise").axes
    assert [text.get_text() for text in texts(first)] == ["HR", "PSNR/SSIM"]
    assert comparison.hr is not None
    for axes, result in zip(crops, comparison.results, strict=True):
        name, *scores = texts(axes)
        psnr, ssim = region_scores(result.sr, comparison.hr, region)
        assert [name.get_text(), *(text.get_text() for text in scores)] == [result.model, f"{psnr:.2f}/", f"{ssim:.4f}"]
        expected = "bold" if result.model == "model-3" else "normal"
        assert [text.get_fontweight() for text in scores] == [expected, expected]


def test_without_hr_the_input_stands_there_without_scores() -> None:
    comparison = noise_comparison(scored=False)
    _, *crops = draw_comparison(comparison, Region(12, 6, 12), "noise").axes
    labels = [[text.get_text() for text in texts(axes)] for axes in crops]
    assert labels == [["Input"], ["model-0"], ["model-1"], ["model-2"], ["model-3"]]
    drawn = np.asarray(crops[0].images[0].get_array())
    lr = comparison.lr[0].permute(1, 2, 0).numpy()[3:9, 6:12]  # 1 x 3 x H x W -> H x W x 3
    np.testing.assert_array_equal(drawn, lr.repeat(SCALE, 0).repeat(SCALE, 1))


@pytest.mark.parametrize(("height", "width"), [(40, 60), (20, 300), (300, 20)])
@pytest.mark.parametrize("models", [1, 4])
def test_nothing_is_clipped_or_distorted(height: int, width: int, models: int) -> None:
    figure = draw_comparison(
        noise_comparison(height, width, models), Region(2, 3, 15), "a photograph with a rather long name"
    )
    figure.canvas.draw()
    across, down = figure.get_size_inches()
    boxes = [axes.get_position() for axes in figure.axes]
    sides = [(box.width * across, box.height * down) for box in boxes]
    assert sides[0][0] / sides[0][1] == pytest.approx(width / height)
    assert all(side == pytest.approx(sides[1]) for side in sides[1:]) and sides[1][0] == pytest.approx(sides[1][1])
    extents = [axes.get_window_extent() for axes in figure.axes]
    extents += [text.get_window_extent() for axes in figure.axes for text in texts(axes)]
    for index, extent in enumerate(extents):
        assert min(extent.x0, extent.y0) >= 0 and extent.x1 <= figure.bbox.x1 and extent.y1 <= figure.bbox.y1
        assert not any(extent.padded(-1).overlaps(other) for other in extents[:index])


def test_publish_writes_what_papers_take(tmp_path: Path) -> None:
    figure = draw_comparison(noise_comparison(), Region(11, 7, 13), "noise")
    for suffix in (".png", ".pdf", ".svg"):
        publish(figure, tmp_path / f"figure{suffix}")
    with Image.open(tmp_path / "figure.png") as drawn:
        assert drawn.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        assert drawn.size == pytest.approx(300 * figure.get_size_inches(), abs=1)
        assert drawn.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    assert len(re.findall("<image", (tmp_path / "figure.svg").read_text())) == 6


def test_a_difference_has_one_colour_for_one_number() -> None:
    ramp = np.tile(np.arange(-20.0, 21), (10, 1))

    def row(limit: int, signed: bool) -> np.ndarray:
        painted = paint_difference(ramp, limit, signed)
        assert painted.shape == (10, 41, 3) and painted.dtype == np.uint8
        np.testing.assert_array_equal(painted, painted[:1].repeat(10, 0))
        return painted[0].astype(int)

    signed, absolute = row(8, True), row(8, False)
    assert signed[0][2] > signed[0][0] and signed[-1][0] > signed[-1][2]  # blue below, red above
    np.testing.assert_array_equal(signed[0], signed[11])  # beyond the limit
    np.testing.assert_array_equal(absolute, absolute[::-1])
    assert absolute[20].sum() < 20 < absolute[24].sum() < absolute[28].sum()
    np.testing.assert_array_equal(row(16, True)[20 + 16], signed[20 + 8])
    assert difference_scale(32, True)[1:] == (-32, 32) and difference_scale(32, False)[1:] == (0, 32)
