"""Scores of a folder: which files belong together, what is measured, and what is refused."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from promptsr.evaluation.evaluate import Evaluation, ImageScore, LeftOut, evaluate
from promptsr.imaging.resize import downscale
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

SCALE = 2
BICUBIC = load_model("bicubic-x2")


def write(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return path


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth random colours with some noise, H x W x 3."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-10, 11, smooth.shape)).clip(0, 255)


def bicubic(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pillow's, on floating point, rounded to 8 bit: H x W x 3."""
    planes = [
        np.asarray(Image.fromarray(pixels[..., c].astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC))
        for c in range(3)
    ]
    return np.stack(planes, axis=2).clip(0, 255).round()


def direct_scores(sr: np.ndarray, hr: np.ndarray, border: int) -> tuple[float, float]:
    """PSNR-Y and SSIM-Y by scikit-image of H x W x 3 in 0..255."""
    x, y = (rgb2ycbcr(image / 255)[border:-border, border:-border, 0] for image in (sr, hr))
    ssim = structural_similarity(y, x, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255)
    return float(peak_signal_noise_ratio(y, x, data_range=255)), float(ssim)


def score(model: SRModel, hr: Path, lr: Path | None = None) -> ImageScore:
    (result,) = evaluate(model, [(hr, lr)])
    return result


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_scores_what_it_scores_directly(tmp_path: Path, scale: int) -> None:
    """HR is cropped to a multiple of the scale at the bottom and on the right; LR is rounded to 8 bit, and so is SR."""
    pixels = picture(20 * scale + 1, 17 * scale + scale - 1)
    hr = pixels[: 20 * scale, : 17 * scale]
    sr = bicubic(bicubic(hr, 20, 17), 20 * scale, 17 * scale)
    result = score(load_model(f"bicubic-x{scale}"), write(tmp_path / "a.png", pixels))
    assert result.name == "a.png"
    psnr, ssim = direct_scores(sr, hr, scale)
    # A value halfway between two levels may be rounded either way.
    assert result.psnr_y == pytest.approx(psnr, abs=2e-3) and result.ssim_y == pytest.approx(ssim, abs=1e-4)


def test_results_are_clamped_and_rounded(tmp_path: Path) -> None:
    class Wild(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image.repeat_interleave(2, 2).repeat_interleave(2, 3) * 1.7 - 0.3

    hr = picture(40, 36)
    result = score(SRModel("wild", 2, Wild()), write(tmp_path / "a.png", hr))
    lr = bicubic(hr, 20, 18) / 255
    sr = (lr.repeat(2, 0).repeat(2, 1) * 1.7 - 0.3).clip(0, 1) * 255
    assert result.psnr_y == pytest.approx(direct_scores(sr.round(), hr, 2)[0], abs=1e-3)


def test_given_lr_images_are_used(tmp_path: Path) -> None:
    hr = picture(40, 36)
    lr = np.asarray(Image.fromarray(hr.astype(np.uint8)).resize((18, 20), Image.Resampling.BOX))
    found = score(BICUBIC, write(tmp_path / "hr" / "a.png", hr), write(tmp_path / "lr" / "a.png", lr))
    psnr, ssim = direct_scores(bicubic(lr, 40, 36), hr, 2)
    assert found.psnr_y == pytest.approx(psnr, abs=2e-3) and found.ssim_y == pytest.approx(ssim, abs=1e-4)
    assert abs(found.psnr_y - score(BICUBIC, tmp_path / "hr" / "a.png").psnr_y) > 0.1
    # An LR image as this program makes it is the same as none
    image = torch.as_tensor(hr / 255).permute(2, 0, 1)[None].float()
    own = (downscale(image, 2)[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    again = score(BICUBIC, tmp_path / "hr" / "a.png", write(tmp_path / "lr" / "own.png", own))
    assert again == score(BICUBIC, tmp_path / "hr" / "a.png")


def test_rounded_up_lr_images_are_scored_on_the_common_part(tmp_path: Path) -> None:
    hr, lr = picture(83, 97), picture(21, 25, seed=1)
    hr_path, lr_path = write(tmp_path / "hr" / "a.png", hr), write(tmp_path / "lr" / "ax4.png", lr)
    found = score(load_model("bicubic-x4"), hr_path, lr_path)
    psnr, ssim = direct_scores(bicubic(lr, 84, 100)[:83, :97], hr, 4)
    assert found.psnr_y == pytest.approx(psnr, abs=2e-3) and found.ssim_y == pytest.approx(ssim, abs=1e-4)


def test_grey_images_count_as_three_equal_channels(tmp_path: Path) -> None:
    grey = picture(40, 36)[..., 0]
    colour = np.repeat(grey[..., None], 3, axis=2)
    alone = score(BICUBIC, write(tmp_path / "grey" / "a.png", grey))
    assert alone == score(BICUBIC, write(tmp_path / "colour" / "a.png", colour))
    lr = bicubic(colour, 20, 18)
    for pixels in (lr, lr[..., 0]):  # the LR image may be grey or not, whatever the HR image is
        path = write(tmp_path / "lr" / "a.png", pixels)
        assert score(BICUBIC, tmp_path / "grey" / "a.png", path).psnr_y == pytest.approx(alone.psnr_y, abs=2e-3)


@pytest.mark.parametrize(("height", "width"), [(19, 18), (20, 17), (10, 9), (40, 36), (18, 20)])
def test_lr_of_another_size_is_refused(tmp_path: Path, height: int, width: int) -> None:
    hr, lr = write(tmp_path / "hr.png", picture(41, 36)), write(tmp_path / "lr.png", picture(height, width))
    message = rf"lr\.png \({width} x {height}\) is not hr\.png \(36 x 40\) shrunk by 2"
    with pytest.raises(UserError, match=message):
        score(BICUBIC, hr, lr)


@pytest.mark.parametrize(
    ("height", "width", "fine"), [(15, 40, False), (40, 14, False), (1, 1, False), (3, 50, False), (16, 16, True)]
)
def test_images_too_small_to_be_measured_are_refused(tmp_path: Path, height: int, width: int, fine: bool) -> None:
    """A border of 2 on either side and a window of 11 pixels have to fit in, after the crop to even sides."""
    hr = write(tmp_path / "a.png", picture(height, width))
    if fine:
        result = score(BICUBIC, hr)
        assert math.isfinite(result.psnr_y) and math.isfinite(result.ssim_y)
    else:
        with pytest.raises(UserError, match=r"a\.png.*(too small|smaller).*leave it out\."):
            score(BICUBIC, hr)


def test_an_evaluation_is_the_mean_of_its_images() -> None:
    images = [ImageScore("a.png", 30.0, 0.9), ImageScore("b.png", 33.0, 0.8)]
    result = Evaluation("bicubic-x2", 2, images)
    assert result.psnr_y == 31.5 and result.ssim_y == pytest.approx(0.85)
    assert json.loads(json.dumps(result.to_dict())) == {
        "model": "bicubic-x2",
        "scale": 2,
        "images": [
            {"name": "a.png", "psnr_y": 30.0, "ssim_y": 0.9},
            {"name": "b.png", "psnr_y": 33.0, "ssim_y": 0.8},
        ],
        "left_out": [],
        "notes": [],
        "perfect": 0,
        "psnr_y": 31.5,
        "ssim_y": pytest.approx(0.85),
    }


def test_perfect_images_are_counted_apart(tmp_path: Path) -> None:
    """A white page is restored perfectly, which makes a plain mean infinite."""
    page = score(BICUBIC, write(tmp_path / "page.png", np.full((40, 36, 3), 255)))
    photograph = score(BICUBIC, write(tmp_path / "photograph.png", picture(40, 36)))
    other = replace(photograph, psnr_y=photograph.psnr_y + 1)
    assert page.psnr_y == math.inf and page.ssim_y == pytest.approx(1)
    result = Evaluation("bicubic-x2", 2, [page, photograph, page, other])
    assert result.psnr_y == pytest.approx(photograph.psnr_y + 0.5) and result.perfect == 2
    assert result.ssim_y == pytest.approx((1 + photograph.ssim_y) / 2)
    assert result.remarks == ("2 of 4 are perfect: the mean PSNR is of the other 2.",)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [image["psnr_y"] for image in plain["images"]] == [None, photograph.psnr_y, None, other.psnr_y]
    assert (plain["perfect"], plain["psnr_y"]) == (2, pytest.approx(photograph.psnr_y + 0.5))
    alone = Evaluation("bicubic-x2", 2, [page])
    assert alone.psnr_y == math.inf and alone.to_dict()["psnr_y"] is None
    assert alone.remarks == ("1 of 1 is perfect.",)


def test_an_evaluation_names_what_it_leaves_out() -> None:
    lost = tuple(LeftOut(f"{name}.png", f"{name}.png is damaged.") for name in "abcde")
    result = Evaluation("bicubic-x2", 2, [], lost)
    assert math.isnan(result.psnr_y) and math.isnan(result.ssim_y) and result.perfect == 0
    assert result.remarks == ("Not measured: a.png, b.png, c.png and 2 more.",)
    plain = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert plain["psnr_y"] is None and plain["left_out"][0] == {"name": "a.png", "reason": "a.png is damaged."}
    assert math.isnan(Evaluation("bicubic-x2", 2, [ImageScore("a.png", math.nan, 0.5)]).psnr_y)  # no reason to hide it
