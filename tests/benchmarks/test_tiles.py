"""The table of tiles, and the line through measured memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.tiles import Row, lines, measure
from benchmarks.working_memory import fit
from promptsr.imaging import Picture, encode
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel


class Mean(nn.Module):
    """An image of its mean colour, x2: tiles change it, and how is known."""

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        return image.mean((2, 3), keepdim=True).expand(-1, -1, 2 * height, 2 * width)


def save(folder: Path, name: str, pixels: np.ndarray) -> tuple[Path, None]:
    encode(Picture(pixels.astype(np.uint8)), folder / name)
    return folder / name, None


def halves(left: int, right: int) -> np.ndarray:
    """64 x 128 pixels in two greys."""
    pixels = np.full((64, 128, 3), left)
    pixels[:, 64:] = right
    return pixels


def test_tiles_are_compared_with_hr_and_with_the_whole(tmp_path: Path) -> None:
    model = SRModel("mean", 2, Mean())
    step, small = save(tmp_path, "step.png", halves(100, 140)), save(tmp_path, "small.png", halves(90, 90)[:, :40])
    whole, cut, large = measure(model, "greys", [step], [32, 64])
    assert [row.tile for row in (whole, cut, large)] == ["whole", "32", "64"]
    # Whole: 120 everywhere, 20 levels off; and Y takes 219 of 255 levels.
    flat = 10 * np.log10(255**2 / (20 * 219 / 255) ** 2)
    assert whole.psnr_y == large.psnr_y == pytest.approx(flat, abs=0.01)
    # Tiles: 100, 120 and 140. Less than half of the pixels are near 120 as before, the others are right.
    assert cut.psnr_y > flat + 3.01
    assert cut.psnr_y_to_whole is not None and flat < cut.psnr_y_to_whole < flat + 3.01
    assert whole.psnr_y_to_whole is None and large.psnr_y_to_whole is None
    rows = list(measure(model, "greys", [step, small], [32, 64]))
    assert [(row.images, row.cut) for row in rows] == [(2, 0), (2, 1), (2, 0)]
    assert rows[1].psnr_y_to_whole == cut.psnr_y_to_whole  # of the image that was cut


def test_a_model_that_looks_two_pixels_far_hardly_minds_tiles(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 120, 3))
    whole, cut = measure(load_model("bicubic-x2"), "noise", [save(tmp_path, "noise.png", pixels)], [32])
    assert cut.cut in (0, 1) and cut.psnr_y == pytest.approx(whole.psnr_y, abs=0.01)


def test_the_table_shows_the_loss() -> None:
    rows = [Row("toy", "set", "whole", 2, 0, 30.0, None, 1.5), Row("toy", "set", "64", 2, 1, 29.9, 45.26, 1.0)]
    first, second = lines(rows)
    assert first["against whole"] == "+0.000" and first["tiled to whole (dB)"] == ""
    assert second["against whole"] == "-0.100" and second["tiled to whole (dB)"] == "45.3"
    assert second["images cut"] == "1 of 2"


def test_no_measured_size_lies_above_the_line() -> None:
    exact = fit([100, 200, 400], [1500, 2500, 4500])
    assert exact.per_pixel == pytest.approx(10, abs=1) and exact.fixed == pytest.approx(500, abs=101)
    pixels = torch.arange(1, 9).mul(1000).tolist()
    peaks = [7 * count + wobble for count, wobble in zip(pixels, [0, 900, -300, 500, 0, -800, 700, 20], strict=True)]
    line = fit(pixels, peaks)
    room = [line.fixed + line.per_pixel * count - taken for count, taken in zip(pixels, peaks, strict=True)]
    assert min(room) == 0
