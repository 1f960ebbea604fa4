"""Figures of the tour: the values of a view, and the chosen pixel."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from analysis.common.figure_style import png
from analysis.common.token_grid import TokenGrid
from analysis.tour.figure import draw_view, draw_views
from analysis.tour.views import View
from analysis.tour.walk import Tour
from tests.analysis.attention.conftest import CONFIG, HEIGHT, WIDTH

FOCUS = (13, 9)


@pytest.fixture(scope="module")
def tour() -> Tour:
    """A tour of a photo of noise, with anchors of 4 x 4 pixels and no stops."""
    return Tour(np.random.default_rng(0).random((HEIGHT, WIDTH, 3)), FOCUS, TokenGrid(CONFIG, HEIGHT, WIDTH), {})


def pixels(shown: View, tour: Tour) -> np.ndarray:
    """A view as drawn, without its transparent margin."""
    with Image.open(io.BytesIO(png(draw_view(shown, tour)))) as drawn:
        return np.asarray(drawn.crop(drawn.getchannel("A").getbbox()).convert("RGB"))


def test_figures_show_the_values(tour: Tour) -> None:
    photo = pixels(View("", "colors", tour.photo), tour)
    small = np.asarray(Image.fromarray(photo).resize((WIDTH, HEIGHT), Image.Resampling.BOX)) / 255
    assert np.abs(small - tour.photo).mean() < 0.03

    values = np.zeros((HEIGHT, WIDTH))
    values[:, WIDTH // 2 :] = 1
    drawn = pixels(View("", "signed", values * 2 - 1), tour)[:200].astype(int)
    left, right = drawn[:, 60:250].mean((0, 1)), drawn[:, -250:-60].mean((0, 1))
    assert left[2] > left[0] + 50 and right[0] > right[2] + 50  # blue is less, red is more

    labels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) // 300
    drawn = pixels(View("", "categories", labels), tour)
    assert np.abs(drawn[:150].mean((0, 1)) - drawn[-150:].mean((0, 1))).max() > 30


def bright(shown: View, tour: Tour) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of everything drawn onto a black picture, in pixels of the image."""
    drawn = pixels(replace(shown, values=np.zeros((HEIGHT, WIDTH, 3))), tour)[..., 0]
    rows, columns = np.nonzero(drawn > 120)
    return rows * HEIGHT / drawn.shape[0], columns * WIDTH / drawn.shape[1]


def test_figures_mark_what_was_chosen(tour: Tour) -> None:
    plain = View("", "colors", tour.photo)
    rows, columns = bright(replace(plain, marked="pixel"), tour)
    assert (columns.mean(), rows.mean()) == pytest.approx((FOCUS[0] + 0.5, FOCUS[1] + 0.5), abs=0.1)
    rows, columns = bright(replace(plain, marked="anchor"), tour)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == pytest.approx((12, 16, 8, 12), abs=0.2)
    rows, columns = bright(replace(plain, window=8, shift=4), tour)
    assert set(np.round(columns[rows < 1])) == {4, 12, 20, 28}
    assert set(np.round(rows[columns < 1])) == {4, 12}


def test_views_side_by_side_show_their_values_and_titles(tour: Tour) -> None:
    dark, light = (View(title, "colors", np.full((HEIGHT, WIDTH, 3), grey)) for title, grey in (("one", 0), ("two", 1)))
    figure = draw_views([dark, light], tour)
    assert [axes.get_title() for axes in figure.axes] == ["one", "two"]
    [drawn_dark, drawn_light] = [axes.images[0].get_array() for axes in figure.axes]
    assert drawn_dark is not None and drawn_light is not None and drawn_dark.max() < drawn_light.min()
    places = [axes.get_position() for axes in figure.axes]
    assert places[0].x1 < places[1].x0 and places[0].width == pytest.approx(places[1].width)
    width, height = (length * size for length, size in zip((places[0].width, 1), figure.get_size_inches(), strict=True))
    assert width / height == pytest.approx(WIDTH / HEIGHT)
