"""An attribution as numbers and as a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.comparison.compare import Region
from analysis.lam.attribution import Attribution, PathSettings, gini_coefficient


def made(values: np.ndarray, detector: float = 3.0, blurred: float = 1.0) -> Attribution:
    settings = PathSettings(steps=7, rule="trapezoid")
    return Attribution("mine", 3, Region(5, 6, 4), settings, values.astype(np.float32), detector, blurred, 0.25)


def signed() -> np.ndarray:
    return np.random.default_rng(2).normal(size=(3, 4, 6))


def test_plain_values() -> None:
    values = np.zeros((3, 4, 5))
    values[:, 0, 0] = 1, 1, -4  # channels add up before the sign is dropped: 2
    values[0, 1, 1] = 1
    values[1, 2, 2] = 0.06
    found = made(values)
    result = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (result["model"], result["scale"], result["seconds"]) == ("mine", 3, 0.25)
    assert (result["detector"], result["detector_blurred"]) == (3, 1)
    assert result["completeness_gap"] == pytest.approx((-2 + 1 + 0.06 - 2) / 2)
    assert result["activated"] == {"0.01": 0.15, "0.05": 0.1, "0.1": 0.1, "0.2": 0.1, "0.5": 0.05}
    place = {"x": 5, "y": 6, "size": 4}
    assert result["settings"] == {**place, "steps": 7, "sigma": 1.2, "kernel": 9, "rule": "trapezoid"}
    shares = np.zeros(20)
    shares[:3] = 1, 0.5, 0.03
    mean_difference = np.abs(shares[:, None] - shares).mean()
    assert result["di"] == pytest.approx(100 * (1 - mean_difference / (2 * shares.mean())))


def test_a_change_of_nothing_has_no_gap() -> None:
    assert made(signed(), 1.0, 1.0).to_dict()["completeness_gap"] is None
    nothing = made(np.full((3, 4, 5), 1e-9))
    assert nothing.to_dict()["di"] is None and not nothing.map.any()
    assert set(nothing.to_dict()["activated"].values()) == {0}


def test_file_holds_everything(tmp_path: Path) -> None:
    found = made(signed())
    found.save(tmp_path / "new" / "lam.npz")
    with np.load(tmp_path / "new" / "lam.npz") as arrays:  # no pickles in it
        assert set(arrays) == {"attribution", "map", "about"}
        np.testing.assert_array_equal(arrays["attribution"], found.values)
        size = np.abs(found.values.sum(0))
        np.testing.assert_allclose(arrays["map"], size / size.max(), rtol=1e-6)
        assert arrays["attribution"].dtype == np.float32
        assert json.loads(str(arrays["about"])) == found.to_dict()
    more = {**found.to_dict(), "image": "cat.png"}
    found.save(tmp_path / "new" / "lam.npz", more)
    with np.load(tmp_path / "new" / "lam.npz") as arrays:
        assert json.loads(str(arrays["about"])) == more
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["lam.npz"]


def test_gini_coefficient_of_known_shares() -> None:
    assert gini_coefficient(np.ones((3, 3))) == pytest.approx(0)
    assert gini_coefficient(np.array([0, 0, 0, 8.0])) == pytest.approx(3 / 4)  # one of n has it all: (n - 1) / n
    assert gini_coefficient(np.array([1.0, 2, 3, 4])) == pytest.approx(0.25)
    assert gini_coefficient(np.zeros(5)) is None
