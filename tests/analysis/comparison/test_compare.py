"""Several models on one image, against each model alone, scikit-image and the benchmark's own evaluation."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.comparison.compare import Comparison, compare, luma_error, region_scores, score_texts
from promptsr.data import load_pair
from promptsr.evaluation.evaluate import evaluate
from promptsr.imaging.metrics import gmsd, ms_ssim
from promptsr.imaging.resize import downscale
from promptsr.support.errors import ConfigError, UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

SCALE = 2
BICUBIC = load_model("bicubic-x2")


class Nearest(nn.Module):
    """Repeats pixels and adds a constant; has one parameter and records the shapes of its inputs."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.tensor(offset), requires_grad=False)
        self.seen: list[Sequence[int]] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image.shape)
        return nn.functional.interpolate(image, scale_factor=SCALE, mode="nearest") + self.offset


def nearest(offset: float = 0.1) -> SRModel:
    return SRModel("nearest-x2", SCALE, Nearest(offset), min_tile=4)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """37 x 31 pixels: no multiple of 2."""
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    Image.fromarray(data.chelsea()[100:131, 120:157]).save(path)
    return path


@pytest.fixture(scope="module")
def pair(photo: Path) -> tuple[Tensor, Tensor]:
    return load_pair(photo, SCALE)


@pytest.fixture(scope="module")
def comparison(pair: tuple[Tensor, Tensor]) -> Comparison:
    hr, lr = pair
    return finish(compare([BICUBIC, nearest()], lr, hr))


def grey(image: Tensor) -> np.ndarray:
    """Y of an image by scikit-image: 1 x 3 x H x W in [0, 1] -> H x W, 16 to 235."""
    y: np.ndarray = rgb2ycbcr(image[0].permute(1, 2, 0).double().numpy())[..., 0]  # 1 x 3 x H x W -> H x W x 3
    return y


def test_results_are_those_of_each_model_at_8_bits(comparison: Comparison, pair: tuple[Tensor, Tensor]) -> None:
    hr, lr = pair
    assert [result.model for result in comparison.results] == ["bicubic-x2", "nearest-x2"]
    assert comparison.scale == SCALE and comparison.hr is hr and comparison.lr is lr
    repeated = lr.numpy().repeat(SCALE, 2).repeat(SCALE, 3)
    expected = np.round((repeated + np.float32(0.1)).clip(0, 1) * 255)
    np.testing.assert_array_equal(np.round(comparison.results[1].sr.numpy() * 255), expected)
    assert [result.parameters for result in comparison.results] == [0, 1]
    assert all(0 < result.seconds < 60 for result in comparison.results)


def test_scores_are_those_of_evaluate(comparison: Comparison, photo: Path) -> None:
    [score] = evaluate(BICUBIC, [(photo, None)])
    assert (comparison.results[0].psnr_y, comparison.results[0].ssim_y) == (score.psnr_y, score.ssim_y)


def test_rows_hold_perceptual_scores_within_the_same_border(comparison: Comparison) -> None:
    hr = torch.rand(1, 3, 184, 190, generator=torch.Generator().manual_seed(0))
    large = finish(compare([BICUBIC, nearest()], downscale(hr, SCALE), hr))
    for result, row in zip(large.results, large.rows, strict=True):
        sr, hr_inner = (image[..., SCALE:-SCALE, SCALE:-SCALE] for image in (result.sr, hr))
        assert (row["ms_ssim"], row["gmsd"]) == (ms_ssim(sr, hr_inner, 0), gmsd(sr, hr_inner, 0))
        assert row["psnr_y"] == result.psnr_y and 0 < row["ms_ssim"] < 1 and 0 < row["gmsd"] < 1
    assert all(math.isnan(row["ms_ssim"]) and row["gmsd"] > 0 for row in comparison.rows)  # 36 x 30 pixels


def test_scores_of_a_region_are_those_of_scikit_image(comparison: Comparison) -> None:
    region = Region(5, 3, 21)
    assert comparison.hr is not None
    scores = comparison.scores(region)
    for result, (psnr, ssim) in zip(comparison.results, scores, strict=True):
        sr, hr = (grey(image)[3:24, 5:26] for image in (result.sr, comparison.hr))
        assert psnr == pytest.approx(peak_signal_noise_ratio(hr, sr, data_range=255), abs=1e-4)
        window = structural_similarity(
            hr, sr, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )[1][5:-5, 5:-5]
        assert ssim == pytest.approx(window.mean(), abs=1e-4)
    assert scores[0][0] > scores[1][0] + 1
    small = region_scores(comparison.results[0].sr, comparison.hr, Region(0, 0, 10))
    assert math.isfinite(small[0]) and math.isnan(small[1])


def test_luma_error_has_a_sign(comparison: Comparison) -> None:
    assert comparison.hr is not None
    sr = comparison.results[1].sr
    np.testing.assert_allclose(luma_error(sr, comparison.hr).numpy(), grey(sr) - grey(comparison.hr), atol=1e-4)
    assert luma_error(sr, comparison.hr).mean() > 10  # 0.1 too bright


def test_pictures_begin_with_what_is_the_truth(comparison: Comparison) -> None:
    assert comparison.hr is not None
    names, images = zip(*comparison.pictures, strict=True)
    assert names == ("HR", "bicubic-x2", "nearest-x2") and images[0] is comparison.hr
    blind = finish(compare([BICUBIC], comparison.lr))
    names, images = zip(*blind.pictures, strict=True)
    assert names == ("Input", "bicubic-x2")
    np.testing.assert_array_equal(images[0].numpy(), comparison.lr.numpy().repeat(SCALE, 2).repeat(SCALE, 3))
    assert blind.scores(Region(0, 0, 20)) == []
    assert (blind.results[0].psnr_y, blind.results[0].ssim_y) == (None, None)
    assert [blind.rows[0][key] for key in ("psnr_y", "ssim_y", "ms_ssim", "gmsd")] == [None] * 4


def test_progress_names_model_and_tiles_and_closing_stops(pair: tuple[Tensor, Tensor]) -> None:
    hr, lr = pair
    model = nearest()
    assert isinstance(model.network, Nearest)
    steps = list(compare([BICUBIC, model], lr, hr, tile=8))
    assert [step.model for step in steps if step.progress is None] == ["bicubic-x2", "nearest-x2"]
    tiles = [step.progress for step in steps if step.progress and step.model == "nearest-x2"]
    assert [(tile.done, tile.total) for tile in tiles] == [(n + 1, len(tiles)) for n in range(len(tiles))]
    assert len(tiles) == len(model.network.seen) > 1

    model.network.seen.clear()
    work = compare([model], lr, hr, tile=8)
    next(work), next(work)
    work.close()
    assert len(model.network.seen) == 1


@pytest.mark.parametrize("region", [Region(-1, 0, 4), Region(0, 27, 4), Region(33, 0, 4), Region(0, 0, 31)])
def test_regions_must_lie_inside(comparison: Comparison, region: Region) -> None:
    comparison.check(Region(32, 26, 4))
    with pytest.raises(UserError, match=rf"\({region.x}, {region.y}\) does not lie in the 36 x 30 image"):
        comparison.check(region)
    with pytest.raises(UserError, match="window of 0 pixels"):
        comparison.check(Region(3, 3, 0))


def test_impossible_comparisons_are_refused_before_any_work(pair: tuple[Tensor, Tensor]) -> None:
    hr, lr = pair
    model = nearest()
    assert isinstance(model.network, Nearest)
    with pytest.raises(ConfigError, match="bicubic-x3 enlarges x3 and nearest-x2 x2"):
        next(compare([model, load_model("bicubic-x3")], lr, hr))
    with pytest.raises(ConfigError, match="no model to compare"):
        next(compare([], lr, hr))
    with pytest.raises(UserError, match="The HR image has 36 x 28 pixels where x2 makes 36 x 30"):
        next(compare([model], lr, hr[:, :, :28]))
    with pytest.raises(ConfigError, match="Tiles of 2 pixels are too small for nearest-x2"):
        next(compare([BICUBIC, model], lr, hr, tile=2))
    assert model.network.seen == []


def test_scores_as_text() -> None:
    assert score_texts(31.186, 0.81234) == ("31.19", "0.8123")
    assert score_texts(math.inf, math.nan) == ("inf", "–")
