"""An attribution as numbers and as a file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.common.image_windows import Region
from analysis.lam.attribution import Attribution, PathSettings, gini_coefficient
from promptsr.support.errors import UserError


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


@pytest.mark.parametrize(
    ("sum_of_values", "detector", "expected"),
    [
        (2.0, 3.0, None),
        (2.09, 3.0, None),
        (2.11, 3.0, "gap of +5.5 % is above 5 %, so the map is inexact: take the adaptive rule"),
        (1.89, 3.0, "gap of -5.5 % is above 5 %"),
        (2.0, 1.0, "gap is unknown"),  # the blur changes nothing in the window
        # 4 x 4 pixels of 3 channels at scale 3: a detector of 2 / 3 grey levels a pixel is 48 * 2 / 3 / 255 = 0.1255.
        (-0.8745, 0.1256, None),
        (-0.8746, 0.1254, "The window is flat (neighbouring pixels differ by 0.67 grey levels on average)"),
        (0.0, 3.0, "The window is flat"),  # no pixel has a say
    ],
)
def test_a_flat_window_and_a_large_gap_get_a_warning(
    sum_of_values: float, detector: float, expected: str | None
) -> None:
    values = np.zeros((3, 4, 6))
    values[1, 2, 3] = sum_of_values
    found = made(values, detector)
    assert found.contrast == pytest.approx(255 * detector / 48)
    warning = json.loads(json.dumps(found.to_dict()))["warning"]
    assert warning is None if expected is None else expected in warning


def test_a_file_is_read_back(tmp_path: Path) -> None:
    found = made(signed())
    found.save(tmp_path / "lam.npz")
    again = Attribution.load(tmp_path / "lam.npz")
    np.testing.assert_array_equal(again.values, found.values)
    assert again.to_dict() == found.to_dict() and again.region == found.region and again.settings == found.settings
    place = found.to_dict()["settings"] | {"x": 3 * 20 + 5, "y": 3 * 10 + 6, "patch": {"x": 20, "y": 10}}
    found.save(tmp_path / "lam.npz", found.to_dict() | {"settings": place})
    assert Attribution.load(tmp_path / "lam.npz").region == found.region  # in the patch


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no archive", None])
def test_another_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, attribution=np.zeros(3), about="{}") if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match="is no attribution"):
        Attribution.load(path)


def test_levels_survive_a_file(tmp_path: Path) -> None:
    found = replace(made(signed()), levels=((8, 1.5), (16, 2.1)))
    found.save(tmp_path / "lam.npz")
    assert Attribution.load(tmp_path / "lam.npz").levels == found.levels
    assert found.integration_error == pytest.approx((2.1 - 1.5) / 2)
