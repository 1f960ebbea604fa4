"""Says whether a function that a reader of the notebooks has written gives what it should."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def check(function: Callable[..., Any], *inputs: Any, expected: Tensor | float, tolerance: float = 1e-4) -> None:
    """Calls a function and compares; prints that it is right.

    Args:
        function: gives a tensor or a number.
        inputs: what it is called with.
        expected: what it should give.
        tolerance: see `same`.

    Raises:
        AssertionError: it gives something else; the message says in what.
    """
    found = function(*inputs)
    assert found is not None, f"{function.__name__} returns nothing: end it with return"
    same(f"{function.__name__} is right", found, expected, tolerance)


def same(what: str, found: Tensor | float, expected: Tensor | float, tolerance: float = 1e-4) -> None:
    """Compares, and prints by how much two results differ.

    Args:
        what: they are.
        found: a tensor or a number.
        expected: the same.
        tolerance: largest difference allowed, as a share of the largest expected value; whole numbers must be equal.

    Raises:
        AssertionError: they differ by more, or have different shapes.
    """
    given, wanted = (torch.as_tensor(value) for value in (found, expected))
    assert given.shape == wanted.shape, f"Not so: {what}. The shape is {_shape(given)}, and should be {_shape(wanted)}"
    difference, largest = (float(values.double().abs().max()) for values in (given - wanted, wanted))
    exact = not wanted.is_floating_point()
    limit = 0.0 if exact else tolerance * largest
    assert difference <= limit, f"Not so: {what}. It is off by {difference:.3g}, where {limit:.3g} is allowed"
    print(f"{what}: " + ("exactly" if exact else f"largest difference {difference:.1e}, of values up to {largest:.3g}"))


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "that of a number"
