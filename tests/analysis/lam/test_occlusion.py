"""Squares that help and hurt: planted ones by closed forms, captum as a referee, and the noise of doing nothing."""

import math

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation
from skimage import data
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.common.rank_correlation import rank_correlation_of_parts
from analysis.lam.attribution import PathSettings
from analysis.lam.blur_path import BlurPath
from analysis.lam.method import LocalAttributionMap
from analysis.lam.occlusion import WAYS, Occlusion, Square, occlude, squares, turned
from analysis.lam.window_effect import STEP, Noise
from promptsr.imaging.resize import downscale
from promptsr.support.errors import ConfigError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

HEIGHT, WIDTH, SCALE, SIDE = 24, 20, 2, 8
REGION = Region(16, 16, 8)
QUICK = PathSettings(4, rule="trapezoid")
BEFORE, MOVE = 0.05, 0.02
"""Error of the planted network in every pixel of its window, and what blurring a planted square does to it."""
HELPFUL, HARMFUL = (0, 2), (2, 0)
"""Row and column of squares, one of them cut off by the border: far from the window."""


class Planted(nn.Module):
    """Returns HR plus an error of one size everywhere, which is linear in the input."""

    def __init__(self, hr: Tensor, photo: Tensor, weights: Tensor) -> None:
        super().__init__()
        rows, columns = (torch.arange(side) for side in hr.shape[2:])
        self.hr, self.pattern = hr, 1 - 2 * ((rows[:, None] + columns) % 2).double()
        self.weights = nn.Parameter(weights)  # H x W
        self.offset = BEFORE - float((photo * weights).sum())

    def forward(self, image: Tensor) -> Tensor:
        error = (image * self.weights).sum((1, 2, 3)) + self.offset
        return self.hr + error[:, None, None, None] * self.pattern


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """Part of a photograph, 1 x 3 x HEIGHT x WIDTH."""
    whole = torch.from_numpy(data.astronaut() / 255).permute(2, 0, 1)[None]  # H x W x 3 -> 1 x 3 x H x W
    return downscale(whole, 2)[:, :, 10 : 10 + HEIGHT, 40 : 40 + WIDTH]


def weights_of(photo: Tensor, moves: dict[tuple[int, int], float]) -> Tensor:
    """Return H x W weights for which blurring a square at a row and column adds so much to the error."""
    change = (BlurPath(photo, QUICK).points([0]) - photo)[0].sum(0)  # H x W
    weights = torch.zeros_like(change)
    for (row, column), move in moves.items():
        here = slice(SIDE * row, SIDE * (row + 1)), slice(SIDE * column, SIDE * (column + 1))
        weights[here] = move * change[here].sign() / change[here].abs().sum()
    return weights


def planted(photo: Tensor, moves: dict[tuple[int, int], float]) -> tuple[SRModel, Tensor, Tensor]:
    """Return a model, its HR image and its weights."""
    hr = torch.full((1, 3, SCALE * HEIGHT, SCALE * WIDTH), 0.5, dtype=torch.float64)
    weights = weights_of(photo, moves)
    return SRModel("planted", SCALE, Planted(hr, photo, weights).eval()), hr, weights


def occluded(model: SRModel, photo: Tensor, hr: Tensor | None) -> Occlusion:
    made = LocalAttributionMap(model).explain(photo, REGION, QUICK)
    return finish(occlude(model, photo, made, hr, side=SIDE))


def test_planted_squares_have_the_right_sign_and_place(photo: Tensor) -> None:
    model, hr, weights = planted(photo, {HELPFUL: MOVE, HARMFUL: -MOVE})
    found = occluded(model, photo, hr)
    lost = np.zeros((3, 3))
    lost[HELPFUL], lost[HARMFUL] = (20 * math.log10((BEFORE + sign * MOVE) / BEFORE) for sign in (1, -1))
    assert lost[HELPFUL] > 2 and lost[HARMFUL] < -4
    assert found.grid("psnr_lost", "blurred") == pytest.approx(lost)
    # A helpful square makes the error smaller, and the error is all that varies in the window.
    assert found.grid("detector_lost")[HELPFUL] < 0 < found.grid("detector_lost")[HARMFUL]
    for way in WAYS:
        others = found.grid("change", way).copy()
        others[HELPFUL] = others[HARMFUL] = 0
        assert not others.any() and np.count_nonzero(found.grid("psnr_lost", way)) == 2  # exactly 0
    summary = found.summary("blurred")
    assert (summary["squares"], summary["changing"], summary["helping"], summary["hurting"]) == (9, 2, 1, 1)
    assert math.isnan(summary["agreement"])  # of two squares there is none
    # Moving the input by a step can do no more than move each weight's pixel by it, in three channels.
    most = 3 * STEP * float(weights.abs().sum())
    assert 0 < found.noise.change <= 255 * most and 0 < found.noise.psnr <= -20 * math.log10(1 - most / BEFORE)


def test_effects_of_a_linear_network_are_sums_over_squares(photo: Tensor) -> None:
    moves = {(row, column): MOVE * (1 + 3 * row + column) / 9 for row in range(3) for column in range(3)}
    model, _, weights = planted(photo, moves)
    found = occluded(model, photo, None)
    for way, other in zip(WAYS, (BlurPath(photo, QUICK).points([0]), turned(photo, SIDE)), strict=True):
        parts = ((other - photo)[0].sum(0) * weights).numpy()  # H x W
        expected = [abs(square.cut(parts).sum()) for square in squares(HEIGHT, WIDTH, SIDE)]
        assert found.grid("change", way).ravel() == pytest.approx(255 * np.array(expected), abs=1e-9)
    assert found.grid("change") == pytest.approx(np.array([[255 * moves[r, c] for c in range(3)] for r in range(3)]))
    # The map is exact here, so that both agree.
    assert found.agreement("blurred") == pytest.approx(1) and found.signed_agreement("blurred") == pytest.approx(1)
    assert found.effects["psnr_lost"].isna().all() and math.isnan(found.noise.psnr)


def test_captum_finds_the_same(photo: Tensor) -> None:
    model, small = load_model("bicubic-x2"), photo.float()
    method, blurred = LocalAttributionMap(model), BlurPath(small, QUICK).points([0])
    found = occluded(model, small, None)
    rows, columns = (torch.arange(side) // SIDE for side in (HEIGHT, WIDTH))
    mask = (3 * rows[:, None] + columns)[None, None]  # 1 x 1 x H x W
    values = FeatureAblation(method.detect).attribute(
        small, baselines=blurred, feature_mask=mask, additional_forward_args=(REGION,)
    )
    assert found.pixels("detector_lost") == pytest.approx(values[0, 0].numpy(), abs=1e-4)
    assert np.count_nonzero(found.grid("detector_lost")) >= 2


def test_squares_cover_the_image_once_and_turn_in_their_places(photo: Tensor) -> None:
    count = np.zeros((HEIGHT, WIDTH), int)
    other = turned(photo, SIDE)
    for square in squares(HEIGHT, WIDTH, SIDE):
        square.cut(count)[:] += 1
        mine, theirs = (square.cut(image[0, 0].numpy()) for image in (photo, other))
        assert (theirs == mine[::-1, ::-1]).all()
        mixed = square.replaced(photo, other)
        differs = (mixed != photo)[0].any(0).numpy()
        assert (square.cut(mixed[0, 0].numpy()) == theirs).all() and differs.sum() == square.cut(differs).sum()
    assert (count == 1).all() and squares(HEIGHT, WIDTH, SIDE)[-1] == Square(16, 16, 4, 8)
    for side in (0, HEIGHT + 1):
        with pytest.raises(ConfigError, match="side of a square must be 1 to 24"):
            squares(HEIGHT, WIDTH, side)


def test_summary_counts_only_what_exceeds_the_noise(photo: Tensor) -> None:
    model, hr, _ = planted(photo, {HELPFUL: MOVE, HARMFUL: -MOVE})
    found = occluded(model, photo, hr)
    loud = Occlusion(found.model, found.side, found.effects, Noise(1.0, 3.5)).summary("blurred")
    assert (loud["helping"], loud["hurting"], loud["noise"], loud["changing"]) == (0, 1, 3.5, 2)
    louder = Occlusion(found.model, found.side, found.effects, Noise(255.0, 3.5)).summary("blurred")
    assert louder["changing"] == 0 and occluded(model, photo, None).summary("blurred")["helping"] is None


def test_rank_correlation_leaves_out_places_where_both_are_zero() -> None:
    one, other = np.array([0, 0, 0, 1, 2, 3.0]), np.array([0, 0, 0, 3, 2, 1.0])
    assert rank_correlation_of_parts(one, other) == pytest.approx(-1)
    assert rank_correlation_of_parts(one, one**2) == pytest.approx(1)
    assert math.isnan(rank_correlation_of_parts(one[:5], other[:5]))
    assert math.isnan(rank_correlation_of_parts(np.ones(4), np.arange(4.0)))
