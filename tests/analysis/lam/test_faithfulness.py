"""Deletion, insertion, infidelity and sensitivity of maps: planted truths, closed forms, and both kinds of orders."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn

from analysis.common.image_windows import Region
from analysis.lam.attribution import Attribution, PathSettings
from analysis.lam.blur_path import BlurPath
from analysis.lam.faithfulness import (
    ORDERS,
    SHARES,
    Faithfulness,
    check_faithfulness,
    infidelity_of,
    sensitivity_of,
)
from analysis.lam.method import LocalAttributionMap
from analysis.lam.sanity import STAGES, check_sanity
from promptsr.config import preset
from promptsr.imaging.metrics import psnr_y, quantize
from promptsr.imaging.resize import downscale
from promptsr.model.network import PromptSR
from promptsr.support.progress import finish
from promptsr.zoo.fingerprint import fingerprint
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

SIDE, SCALE = 24, 2
REGION = Region(16, 16, 8)
"""In the middle, input pixels 8 to 12."""


class Planted(nn.Module):
    """A window that is a checkerboard as strong as a weighted sum of known pixels, wherever they are.

    Linear: the detector is a multiple of the sum, and a map can be exact.
    """

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)  # H x W
        side = SCALE * SIDE
        self.pattern = ((torch.arange(side)[:, None] + torch.arange(side)) % 2).double()

    def forward(self, image: Tensor) -> Tensor:
        strength = (image * self.weights).sum((1, 2, 3))[:, None, None, None]
        return strength * self.pattern.expand(len(image), 3, -1, -1)


@pytest.fixture
def photo() -> Tensor:
    """Part of a photograph, 1 x 3 x SIDE x SIDE."""
    whole = torch.from_numpy(data.astronaut() / 255).permute(2, 0, 1)[None]  # H x W x 3 -> 1 x 3 x H x W
    return downscale(whole, 2)[:, :, 10 : 10 + SIDE, 40 : 40 + SIDE]


def planted(photo: Tensor, count: int = 30) -> tuple[SRModel, np.ndarray]:
    """Return a network that depends on some far pixels, and what each adds to the strength when it gets sharp."""
    moves = (photo - BlurPath(photo, PathSettings()).points([0]))[0].sum(0)  # H x W
    chance = np.random.default_rng(0)
    chosen = torch.zeros(SIDE * SIDE, dtype=torch.float64)
    chosen[torch.from_numpy(chance.permutation(SIDE * SIDE)[:count])] = 1
    weights = chosen.view(SIDE, SIDE) * moves.sign()  # every pixel adds to the change
    return SRModel("planted", SCALE, Planted(weights).eval()), (weights * moves).numpy()


def checked(model: SRModel, photo: Tensor, attribution: Attribution | None = None) -> Faithfulness:
    made = attribution or LocalAttributionMap(model).explain(photo, REGION)
    return finish(check_faithfulness(model, photo, made))


def test_the_map_of_a_planted_truth_is_within_two_percent_of_the_best_order(photo: Tensor) -> None:
    model, parts = planted(photo)
    made = LocalAttributionMap(model).explain(photo, REGION)
    found = checked(model, photo, made)
    best = checked(model, photo, replace(made, values=np.repeat(parts[None] / 3, 3, 0).astype(np.float32)))
    ours, theirs = (each.areas.set_index(["part", "order", "way"])["area"]["all", "map"] for each in (found, best))
    assert ours["deletion"] == pytest.approx(theirs["deletion"], rel=0.02)
    assert ours["insertion"] == pytest.approx(theirs["insertion"], rel=0.02, abs=1e-3)
    # By hand: the sum of the largest parts that have been blurred, which the window's strength lacks.
    largest = np.sort(parts[parts > 0])[::-1]
    lost = [largest[: round(share * SIDE**2)].sum() / largest.sum() for share in SHARES]
    assert theirs["deletion"] == pytest.approx(np.trapezoid(lost, SHARES), rel=1e-5)
    assert min(found.advantage(order) for order in ("distance", "random")) > 0.2
    assert infidelity_of(model, photo, made) < 1e-3 and found.ratio("random") > 5


def test_curves_begin_and_end_where_nothing_and_everything_is_blurred(photo: Tensor) -> None:
    model = load_model("bicubic-x2")
    made = LocalAttributionMap(model).explain(photo.float(), REGION)
    found = checked(model, photo.float(), made)
    curves = found.curves.set_index(["part", "order", "way", "share"])["change"]
    assert len(curves) == len(ORDERS) * len(SHARES) * 3  # insertion for all pixels alone
    whole = curves["all", "map", "deletion", 1.0]
    for order in ORDERS:
        assert curves["all", order, "deletion", 0.0] == curves["all", order, "insertion", 1.0] == 0
        assert curves["all", order, "deletion", 1.0] == curves["all", order, "insertion", 0.0] == whole > 0
    # Bicubic interpolation reads two pixels beyond the window: none that is farther than 8.
    assert (curves["far"] == 0).all()
    assert found.sentence == "Pixels that are farther than 8 from the window do not change it."
    assert math.isnan(found.ratio(part="far")) and found.areas["area"].isna().sum() == len(ORDERS)
    assert infidelity_of(model, photo.float(), made) < 0.05
    assert 0 < sensitivity_of(model, photo.float(), REGION) < 1


def test_a_false_map_is_found_out(photo: Tensor) -> None:
    """One that calls the least important pixels the most important ones, and one of zeros."""
    model, parts = planted(photo)
    made = LocalAttributionMap(model).explain(photo, REGION)
    wrong = np.where(parts > 0, 0.0, 1.0)
    false = checked(model, photo, replace(made, values=np.repeat(wrong[None] / 3, 3, 0).astype(np.float32)))
    assert false.advantage("random") < -0.2 and false.ratio("random") < 0.1
    assert infidelity_of(model, photo, replace(made, values=np.zeros_like(made.values))) == pytest.approx(1)
    assert infidelity_of(model, photo, replace(made, values=-made.values)) == pytest.approx(4)


def test_distance_is_that_to_the_window(photo: Tensor) -> None:
    """The nearest pixels are those below the window, and then those around it."""
    weights = torch.zeros(SIDE, SIDE, dtype=torch.float64)
    weights[7:13, 7:13] = 1  # the window's 4 x 4 and one pixel around: 36 of 576, that is SHARES[2]
    found = checked(SRModel("near", SCALE, Planted(weights).eval()), photo)
    curves = found.curves.set_index(["part", "order", "way", "share"])["change"]
    whole = curves["all", "distance", "deletion", 1.0]
    assert curves["all", "distance", "deletion", SHARES[2]] == pytest.approx(whole)
    assert (curves["far"] == 0).all()


def test_psnr_is_that_of_the_window(photo: Tensor) -> None:
    model = load_model("bicubic-x2")
    made = LocalAttributionMap(model).explain(photo.float(), REGION)
    blurred = BlurPath(photo.float(), PathSettings()).points([0])
    with torch.no_grad():
        sr, worst = model(photo.float()), model(blurred)
    hr = (sr + 4 / 255).clamp(0, 1)
    curves = finish(check_faithfulness(model, photo.float(), made, hr)).curves
    scores = curves.set_index(["part", "order", "way", "share"])["psnr_y"]["all", "map", "deletion"]
    for share, image in ((0.0, sr), (1.0, worst)):
        expected = psnr_y(quantize(REGION.crop(image)), REGION.crop(hr), 0)
        assert scores[share] == pytest.approx(expected, abs=1e-4)
    assert abs(scores[0.0] - scores[1.0]) > 0.1


def test_sanity_tells_learned_maps_from_those_of_the_architecture(photo: Tensor) -> None:
    """Trained weights make another map than shuffled ones; random weights, and none at all, do not."""
    trained, bicubic = load_model("promptsr-tiny-x2"), load_model("bicubic-x2")
    before = fingerprint(trained.network)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        random = SRModel("random", SCALE, PromptSR(preset("promptsr-tiny", scale=SCALE)).eval())
    small = photo[..., :16, :16].float()
    found = {each.name: finish(check_sanity(each, small, REGION)) for each in (trained, random, bicubic)}
    assert found["bicubic-x2"].shares == STAGES
    assert found["bicubic-x2"].correlations == pytest.approx((1,) * len(STAGES))
    assert found["random"].correlations[-1] > 0.95 and not found["random"].learned
    assert "nearly the same (rank correlation 1.00): it shows the architecture" in found["random"].sentence
    assert max(found[trained.name].correlations) < 0.5 and found[trained.name].learned
    assert "another one" in found[trained.name].sentence and fingerprint(trained.network) == before


def test_layers_are_shuffled_from_the_last_one_on(photo: Tensor) -> None:
    """With the first half of the stages only the last layer has other weights, of the same values."""
    seen: list[list[Tensor]] = []

    class Watched(nn.Sequential):
        def forward(self, image: Tensor) -> Tensor:
            seen.append([layer.weight.clone() for layer in self if isinstance(layer, nn.Conv2d)])
            return super().forward(image)

    first, last = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3 * SCALE**2, 3, padding=1)
    network = Watched(first, last, nn.PixelShuffle(SCALE)).double()
    finish(check_sanity(SRModel("watched", SCALE, network), photo, REGION))
    changed = {tuple(not torch.equal(w, old) for w, old in zip(each, seen[0], strict=True)) for each in seen}
    assert changed == {(False, False), (False, True), (True, True)}
    assert all(
        torch.equal(w.flatten().sort()[0], old.flatten().sort()[0]) for w, old in zip(seen[-1], seen[0], strict=True)
    )
