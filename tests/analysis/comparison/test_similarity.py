"""Linear CKA against the formula of HSIC, what leaves it as it is, and chance; layers that are found; the study."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ortho_group
from torch import Tensor, nn

from analysis.comparison.similarity import (
    SimilarityStudy,
    features,
    find_layers,
    linear_cka,
    similarity_study,
)
from promptsr.data import load_pair
from promptsr.data.pairs import find_pairs
from promptsr.support.errors import UserError
from promptsr.support.progress import finish
from promptsr.zoo.load import load_model
from promptsr.zoo.sr_model import SRModel

RNG = np.random.default_rng(0)


def by_hsic(one: np.ndarray, other: np.ndarray) -> float:
    """Kornblith et al. (2019), equations 1 to 4, with n x n Gram matrices and the centring matrix."""
    count = len(one)
    center = np.eye(count) - 1 / count

    def hsic(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.trace(x @ x.T @ center @ y @ y.T @ center)) / (count - 1) ** 2

    return hsic(one, other) / (hsic(one, one) * hsic(other, other)) ** 0.5


def test_equals_the_formula_of_hsic() -> None:
    one = RNG.normal(3, 1, (60, 7)) @ RNG.normal(size=(7, 7))
    other = np.hstack([one[:, :3] ** 2, RNG.normal(size=(60, 9))])
    assert linear_cka(one, other) == pytest.approx(by_hsic(one, other), rel=1e-9)
    assert linear_cka(one, other) == pytest.approx(linear_cka(other, one))


def test_turning_scaling_and_moving_change_nothing() -> None:
    one = RNG.normal(size=(200, 12)) @ RNG.normal(size=(12, 12))
    turned = one @ ortho_group.rvs(12, random_state=1)
    assert linear_cka(one, 4 * turned - 7) == pytest.approx(1)
    assert linear_cka(one, one @ np.diag(np.arange(12.0))) < 0.99  # other maps than turns do count


def test_independent_features_are_near_their_expected_value() -> None:
    """E |X'Y|^2 = n p q for independent normal features, and E |X'X|^2 = n p (n + p + 1)."""
    n, p, q = 2000, 20, 35
    expected = p * q / (p * (n + p + 1) * q * (n + q + 1)) ** 0.5
    found = [linear_cka(RNG.normal(size=(n, p)), RNG.normal(size=(n, q))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(expected, rel=0.03)
    assert expected == pytest.approx((p * q) ** 0.5 / n, rel=0.02)  # as the docstring says


def test_constant_features_have_none() -> None:
    assert np.isnan(linear_cka(np.ones((9, 2)), RNG.normal(size=(9, 3))))


def test_layers_of_a_promptsr(small_model: SRModel) -> None:
    assert find_layers(small_model) == ("encoder", "groups.0", "groups.1", "fusion", "decoder.0")
    assert find_layers(small_model, ["groups.*.convolution", "fusion"]) == (
        "groups.0.convolution", "groups.1.convolution", "fusion"
    )  # fmt: skip


class Nested(nn.Module):
    """Holds a network of two levels, whose first module returns two values."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(Two(), nn.Conv2d(4, 12, 1), nn.PixelShuffle(2))

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.inner(image)
        return result


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.twice = Pair()
        self.after = nn.Conv2d(3, 4, 3, padding=1)
        self.unused = nn.Conv2d(3, 4, 3, padding=1)
        self.down = nn.Conv2d(3, 4, 2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        first, _ = self.twice(image)
        self.down(image)
        result: Tensor = self.after(first).flatten(2)
        return result.unflatten(2, image.shape[2:])


class Pair(nn.Module):
    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return image, image


def test_outermost_maps_of_the_inputs_size_count() -> None:
    model = SRModel("nested", 2, Nested())
    assert find_layers(model) == ("inner.0", "inner.1")
    assert find_layers(model, ["inner.0.*"]) == ("inner.0.after",)
    with pytest.raises(UserError, match=r"nested has no module like inner.0.down"):
        find_layers(model, ["inner.0.down"])
    with pytest.raises(UserError, match="bicubic-x4 has no module that returns features"):
        find_layers(load_model("bicubic-x4"))


def test_features_are_those_of_the_pixels(small_model: SRModel) -> None:
    image = torch.rand(1, 3, 40, 33, generator=torch.Generator().manual_seed(0))
    rows, columns = torch.tensor([0, 39, 7]), torch.tensor([32, 0, 20])
    [found] = features(small_model, image, ["encoder"], rows, columns)
    network = small_model.network
    assert isinstance(network.encoder, nn.Conv2d)
    whole = network.encoder(torch.nn.functional.pad(image, (0, 7, 0, 0), mode="reflect"))[0]
    expected = [whole[:, row, column].tolist() for row, column in zip(rows, columns, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, shape in (("a", (80, 96, 3)), ("b", (70, 128, 3)), ("small", (40, 100, 3))):
        Image.fromarray(RNG.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}.png")
    return folder


@pytest.fixture(scope="module")
def study(folder: Path, small_model: SRModel) -> SimilarityStudy:
    models = [small_model, replace(small_model, name="again")]
    return finish(similarity_study(models, find_pairs(folder, None), points=500, patch=36))


def test_study(folder: Path, small_model: SRModel, study: SimilarityStudy) -> None:
    assert study.values.shape == (2, 10, 10) and list(study.skipped) == ["small.png"]
    assert [name for name, _ in study.layers] == ["small"] * 5 + ["again"] * 5
    np.testing.assert_allclose(study.mean[:5, :5], study.mean[5:, :5])
    np.testing.assert_allclose(np.diag(study.mean), 1)
    np.testing.assert_allclose(study.mean, study.mean.T)
    name, cka = study.closest(1, "again")
    assert name == "groups.0" and cka == pytest.approx(1)
    assert study.chance[:, :5, :5].max() < 0.1 < study.mean[0, 1]
    row = study.table.iloc[0]
    assert tuple(row[:4]) == ("small", "encoder", "small", "groups.0") and len(study.table) == 45
    assert row["cka"] == pytest.approx(study.values[:, 0, 1].mean()) and row["low"] <= row["cka"] <= row["high"]
    rows, columns = torch.meshgrid(torch.arange(35), torch.arange(36), indexing="ij")
    image = load_pair(folder / "b.png", 2)[1][:, :, :, 14:50]
    every = features(small_model, image, ["groups.0", "groups.1"], rows.flatten(), columns.flatten())
    assert study.values[1, 1, 2] == pytest.approx(linear_cka(*every), abs=0.05)


def test_refusals(folder: Path, small_model: SRModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = find_pairs(folder, None)
    with pytest.raises(UserError, match="points must be 2 or more"):
        finish(similarity_study([small_model], pairs, points=1))
    with pytest.raises(UserError, match="patch must be 32 pixels or more"):
        finish(similarity_study([small_model], pairs, patch=31))
    with pytest.raises(UserError, match="Two models are called"):
        finish(similarity_study([small_model, small_model], pairs))
    monkeypatch.setattr("analysis.comparison.similarity.MOST_LAYERS", 4)
    with pytest.raises(UserError, match="There are 5 layers, more than 4"):
        finish(similarity_study([small_model], pairs))
