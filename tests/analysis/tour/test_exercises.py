"""Feedback to readers of the notebooks about their functions."""

from typing import Any

import pytest
import torch

from analysis.tour.exercises import check, same


def doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_a_right_function_is_told_its_largest_difference(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.tensor([1.0, -4.0])
    check(doubled, x, expected=torch.tensor([2.0, -8.0005]))
    check(doubled, 2**40, expected=2**41)
    same("both ways", torch.tensor([3.0]), torch.tensor([3.0]))
    assert capsys.readouterr().out.splitlines() == [
        "doubled is right: largest difference 5.0e-04, of values up to 8",
        "doubled is right: exactly",
        "both ways: largest difference 0.0e+00, of values up to 3",
    ]


@pytest.mark.parametrize(
    ("function", "x", "expected", "message"),
    [
        (doubled, torch.tensor([1.0, -4.0]), torch.tensor([2.1, -8.0]), r"off by 0\.1, where 0\.0008 is allowed"),
        (doubled, torch.ones(2), torch.ones(1, 2), "The shape is 2, and should be 1 x 2"),
        (doubled, 2**40, 2**41 + 1, "Not so: doubled is right. It is off by 1, where 0 is allowed"),
        (doubled, torch.tensor([torch.nan]), torch.ones(1), "off by nan"),
        (lambda x: None, 1.0, 1.0, "returns nothing"),
    ],
)
def test_a_wrong_function_is_told_how_it_differs(function: Any, x: Any, expected: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check(function, x, expected=expected)
