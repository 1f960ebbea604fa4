"""Effective receptive fields against known ones: convolutions, finite differences, and bicubic by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.attention.receptive_field import (
    ReceptiveField,
    extents_table,
    receptive_field,
    receptive_fields_over_depth,
)
from promptsr.support.errors import UserError
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel
from tests.analysis.attention.conftest import hooks, noise, uneven

HEIGHT, WIDTH = 13, 18
ROW, COLUMN = 6, 9


def photo(seed: int = 0) -> Tensor:
    return noise(HEIGHT, WIDTH, seed)


def convolutions(depth: int) -> SRModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers: list[nn.Module] = []
        for last in [False] * (depth - 1) + [True]:
            layers += [nn.Conv2d(3, 12 if last else 3, 3, padding=1), nn.Tanh()]
        return SRModel("convolutions", 2, nn.Sequential(*layers, nn.PixelShuffle(2)))


def squares_to_the_brim(field: np.ndarray, share: float) -> tuple[int, float]:
    """Side and area of the smallest square around the middle that holds a share, by trying all."""
    height, width = field.shape
    for reach in range(max(field.shape)):
        rows = slice(max(height // 2 - reach, 0), height // 2 + reach + 1)
        columns = slice(max(width // 2 - reach, 0), width // 2 + reach + 1)
        if field[rows, columns].sum() >= share - 1e-12:
            return 2 * reach + 1, field[rows, columns].size / field.size
    raise AssertionError("nothing holds it")


@pytest.mark.parametrize("depth", [1, 3])
def test_convolutions_see_what_they_reach_and_no_more(depth: int) -> None:
    field = receptive_field(convolutions(depth), [photo()])
    seen = np.zeros((HEIGHT, WIDTH), bool)
    seen[ROW - depth : ROW + depth + 1, COLUMN - depth : COLUMN + depth + 1] = True
    np.testing.assert_array_equal(field.map > 0, seen)
    assert field.map.sum() == pytest.approx(1) and (field.model, field.layer) == ("convolutions", "output")
    assert field.extent(0.9999999).side == 2 * depth + 1


@pytest.fixture
def any_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of memory tries the model on an image in single precision: leave it out."""
    monkeypatch.setattr("analysis.attention.receptive_field.check_memory", lambda *_arguments: None)


@pytest.mark.usefixtures("any_precision")
def test_map_is_that_of_finite_differences() -> None:
    model = convolutions(2)
    model.network.double()
    images = [photo(seed=seed).double() for seed in (3, 4)]
    total = np.zeros((HEIGHT, WIDTH))
    for image in images:
        for channel, y, x in np.ndindex(3, HEIGHT, WIDTH):
            values = []
            for step in (1e-5, -1e-5):
                moved = image.clone()
                moved[0, channel, y, x] += step
                with torch.no_grad():
                    values.append(model(moved)[0, :, 2 * ROW : 2 * ROW + 2, 2 * COLUMN : 2 * COLUMN + 2].sum().item())
            total[y, x] += abs(values[0] - values[1])
    field = receptive_field(model, images)
    np.testing.assert_allclose(field.map, total / total.sum(), atol=1e-8)
    assert field.images == 2


def test_bicubic_by_hand() -> None:
    def cubic(t: float) -> float:  # Keys, a = -0.5
        t = abs(t)
        return 1.5 * t**3 - 2.5 * t**2 + 1 if t <= 1 else -0.5 * (t - 1) * max(0, 2 - t) ** 2

    # The four output pixels of an input pixel lie at -3/8, -1/8, 1/8 and 3/8 of it.
    taps = [sum(cubic(place - phase) for phase in (-0.375, -0.125, 0.125, 0.375)) for place in range(-2, 3)]
    expected = np.zeros((HEIGHT, WIDTH))
    expected[ROW - 2 : ROW + 3, COLUMN - 2 : COLUMN + 3] = np.abs(np.outer(taps, taps))
    field = receptive_field(load_model("bicubic-x4"), [photo()])
    np.testing.assert_allclose(field.map, expected / expected.sum(), atol=1e-6)
    assert field.to_dict() == {
        "model": "bicubic-x4", "layer": "output", "images": 1,
        "extents": [
            {"share": share, "side": side, "area": pytest.approx(side**2 / (HEIGHT * WIDTH))}
            for share, side in ((0.2, 1), (0.3, 1), (0.5, 1), (0.99, 5))
        ],
    }  # fmt: skip


def test_extents_are_the_smallest_squares() -> None:
    values = np.random.default_rng(0).random((9, 14)) ** 8
    field = ReceptiveField("any", "output", 1, values / values.sum())
    assert [extent.share for extent in field.extents] == [0.2, 0.3, 0.5, 0.99]
    for extent in field.extents:
        assert (extent.side, extent.area) == pytest.approx(squares_to_the_brim(field.map, extent.share))
    even = ReceptiveField("even", "output", 1, np.full((9, 9), 1 / 81))
    assert (even.extent(49 / 81).side, even.extent(49 / 81).area) == (7, 49 / 81)
    assert even.extent(0.99).area == 1
    table = extents_table([field, even])
    assert table.shape == (8, 5) and table["side"].tolist()[:4] == [extent.side for extent in field.extents]


@pytest.fixture(scope="module")
def model() -> SRModel:
    return SRModel("small", 2, uneven().double())


@pytest.mark.usefixtures("any_precision")
def test_depth_is_that_of_the_features_leaving_each_block(model: SRModel) -> None:
    image = photo().double()
    fields = receptive_fields_over_depth(model, [image])
    names = [f"group {group}, block {block}" for group in (1, 2) for block in (1, 2)]
    assert [field.layer for field in fields] == [*names, "output"]
    np.testing.assert_allclose(fields[-1].map, receptive_field(model, [image]).map, rtol=1e-9)

    block: Any = model.network.get_submodule("groups.0.blocks.1")
    seen: list[Tensor] = []
    handle = block.register_forward_hook(lambda _module, _args, outputs: seen.append(outputs[0][0, ROW, COLUMN].sum()))
    places = [(ROW, COLUMN), (0, 0), (12, 17), (ROW, 2), (3, COLUMN)]
    try:
        for y, x in places:
            for channel in range(3):
                for step in (1e-6, -1e-6):
                    moved = image.clone()
                    moved[0, channel, y, x] += step
                    with torch.no_grad():
                        model(moved)
    finally:
        handle.remove()
    slopes = np.reshape([value.item() for value in seen], (len(places), 3, 2))
    expected = np.abs(slopes[..., 0] - slopes[..., 1]).sum(1)
    measured = np.array([fields[1].map[place] for place in places])
    np.testing.assert_allclose(measured / measured[0], expected / expected[0], rtol=1e-3, atol=1e-6)
    assert measured.min() > 0  # anchors bring something from everywhere


@pytest.mark.usefixtures("any_precision")
def test_nothing_is_left_behind(model: SRModel, monkeypatch: pytest.MonkeyPatch) -> None:
    image = photo().double()
    receptive_fields_over_depth(model, [image])
    monkeypatch.setattr(model.network, "fusion", nn.Identity())
    monkeypatch.setattr(model.network.fusion, "forward", lambda _x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        receptive_fields_over_depth(model, [image])
    assert hooks(model.network) == []
    assert all(parameter.grad is None for parameter in model.network.parameters())
    assert image.grad is None and not image.requires_grad


class Thresholded(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return (image > 0.5).float().repeat_interleave(2, 2).repeat_interleave(2, 3)


def test_what_cannot_be_measured_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    bicubic = load_model("bicubic-x4")
    with pytest.raises(UserError, match=r"bicubic-x4 gives no gradients.*: choose a PyTorch model"):
        receptive_field(replace(bicubic, differentiable=False), [photo()])
    with pytest.raises(UserError, match="The output of steps has no gradient at this image: choose"):
        receptive_field(SRModel("steps", 2, Thresholded()), [photo()])
    with pytest.raises(UserError, match="bicubic-x4 is not a PromptSR"):
        receptive_fields_over_depth(bicubic, [photo()])
    monkeypatch.setattr("analysis.lam.backward_memory.MEMORY_BUDGET", 1000)
    with pytest.raises(UserError, match="of memory for the gradients"):
        receptive_field(bicubic, [photo()])
