"""Inputs of the kernels' tests, and what they share."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import pytest
import torch
from torch import Tensor, nn

from promptsr import kernels

available = pytest.mark.skipif(kernels.why_not() is not None, reason=f"no kernels here: {kernels.why_not()}")


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return normally distributed values, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Within this context torch uses `count` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def close(mine: Tensor, expected: Tensor, tolerance: float, least: float = 0.0) -> None:
    """Assert that values differ by at most `tolerance` times the largest one, or times `least` if that is more."""
    mine, expected = mine.detach(), expected.detach()
    assert mine.shape == expected.shape and mine.dtype == torch.float32
    largest = max(float(expected.abs().max()), least) or 1.0
    assert float((mine.double() - expected).abs().max()) <= tolerance * largest


@contextmanager
def given_categories(network: nn.Module, categories: Mapping[str, Tensor]) -> Iterator[None]:
    """Within this context these taps yield these values, whatever passes through them."""
    with ExitStack() as stack:
        for name, value in categories.items():
            tap = network.get_submodule(name)
            stack.callback(tap.register_forward_hook(lambda *_, value=value: value).remove)
        yield
