"""Checks of the exercises: does a reader's function return the expected result?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_TOLERANCE = 1e-4
"""Largest difference allowed, as a share of the largest expected value; whole numbers must be equal."""


def check(function: Callable[..., Any], *inputs: Any, expected: Tensor | float) -> None:
    """Call a function and compare its result, a tensor or a number; print that it is right.

    Raises:
        AssertionError: the result differs; the message says how.
    """
    found = function(*inputs)
    assert found is not None, f"{function.__name__} returns nothing: end it with return"
    same(f"{function.__name__} is right", found, expected)


def same(what: str, found: Tensor | float, expected: Tensor | float) -> None:
    """Compare two results, and print by how much they differ; `what` names them in the message.

    Raises:
        AssertionError: they differ by more than `_TOLERANCE`, or have different shapes.
    """
    given, wanted = (torch.as_tensor(value) for value in (found, expected))
    assert given.shape == wanted.shape, f"Not so: {what}. The shape is {_shape(given)}, and should be {_shape(wanted)}"
    difference, largest = (float(values.double().abs().max()) for values in (given - wanted, wanted))
    exact = not wanted.is_floating_point()
    limit = 0.0 if exact else _TOLERANCE * largest
    assert difference <= limit, f"Not so: {what}. It is off by {difference:.3g}, where {limit:.3g} is allowed"
    print(f"{what}: " + ("exactly" if exact else f"largest difference {difference:.1e}, of values up to {largest:.3g}"))


def _shape(tensor: Tensor) -> str:
    return " x ".join(map(str, tensor.shape)) or "that of a number"
