"""What readers of the notebooks are told about their functions."""

import pytest
import torch

from analysis.tour.exercises import check, same


def doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def test_a_right_function_is_told_its_largest_difference(capsys: pytest.CaptureFixture[str]) -> None:
    x = torch.tensor([1.0, -4.0])
    check(doubled, x, expected=torch.tensor([2.0, -8.0005]))
    assert capsys.readouterr().out == "doubled is right: largest difference 5.0e-04, of values up to 8\n"
    check(doubled, 2**40, expected=2**41)
    assert capsys.readouterr().out == "doubled is right: exactly\n"


def test_a_wrong_function_is_told_in_what() -> None:
    x = torch.tensor([1.0, -4.0])
    with pytest.raises(AssertionError, match=r"doubled is right. It is off by 0\.1, where 0\.0008 is allowed"):
        check(doubled, x, expected=torch.tensor([2.1, -8.0]))
    with pytest.raises(AssertionError, match="The shape is 2, and should be 1 x 2"):
        check(doubled, x, expected=2 * x[None])
    with pytest.raises(AssertionError, match="off by 1, where 0 is allowed"):
        check(doubled, 2**40, expected=2**41 + 1)
    with pytest.raises(AssertionError, match="returns nothing"):
        check(lambda: None, expected=1)


def test_results_that_differ_are_not_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    same("both ways", torch.tensor([3.0]), torch.tensor([3.0]))
    assert capsys.readouterr().out == "both ways: largest difference 0.0e+00, of values up to 3\n"
    with pytest.raises(AssertionError, match=r"Not so: both ways\. It is off by 0\.5"):
        same("both ways", torch.tensor([3.5]), torch.tensor([3.0]), tolerance=0.1)
    same("both ways", torch.tensor([3.5]), torch.tensor([3.0]), tolerance=0.2)
    with pytest.raises(AssertionError, match="off by nan"):  # is no number, and so no result
        same("both ways", torch.tensor([torch.nan]), torch.ones(1))
