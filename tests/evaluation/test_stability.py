"""Changes between two results, with results whose change is known, and the command that reports them."""

import json
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from promptsr.evaluation.stability import STEP, Change, compare, mean, moved
from promptsr.zoo.load import load_model
from tests.support.commands import Run


def test_known_changes() -> None:
    one = torch.full((1, 3, 10, 10), 100 / 255)
    other = one.clone()
    other[0, 0, 0, :6] += 3 / 255
    change = compare("a.png", one, other)
    assert (change.name, change.share, change.levels) == ("a.png", 6 / 300, 3)
    assert math.isclose(change.psnr, -10 * math.log10(6 / 300 * (3 / 255) ** 2), rel_tol=1e-4)
    assert compare("b.png", one, one) == Change("b.png", 0.0, 0, math.inf)


def test_mean_counts_equal_results_but_not_their_psnr() -> None:
    found = mean([Change("a", 0.5, 7, 60.0), Change("b", 0.0, 0, math.inf), Change("c", 0.1, 2, 80.0)])
    assert math.isclose(found.share, 0.2) and (found.levels, found.psnr) == (7, 70.0)
    assert mean([Change("b", 0.0, 0, math.inf)]).psnr == math.inf


def test_every_value_moves_by_the_step_in_both_directions() -> None:
    image = torch.full((1, 3, 40, 40), 0.5)
    difference = moved(image) - image
    torch.testing.assert_close(difference.abs(), torch.full_like(image, STEP), rtol=0.05, atol=0)
    assert 0.4 < float((difference > 0).double().mean()) < 0.6
    assert torch.equal(moved(image), moved(image))


def test_a_network_without_jumps_hardly_moves() -> None:
    """Bicubic weights add up to at most 2 in amount, so nothing moves by more than that many steps."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255
    change = compare("a.png", *(load_model("bicubic-x4")(x) for x in (image, moved(image))))
    assert change.levels <= 1 and change.share < 0.001 and change.psnr > -20 * math.log10(2 * STEP)


def test_the_command_reports_every_image(promptsr: Run, tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
    code, out, err = promptsr("evaluate", "--hr", tmp_path, "--stability", "--model", "promptsr-tiny-x4", "--json", "-")
    assert code == 0, err
    result = json.loads(out)
    assert result["moved_by"] == STEP and [image["name"] for image in result["images"]] == ["a.png", "b.png"]
    assert math.isclose(result["share"], sum(image["share"] for image in result["images"]) / 2)
    assert all(0 <= image["share"] <= 1 and image["psnr"] > 40 for image in result["images"])
