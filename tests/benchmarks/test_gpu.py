"""The benchmark of a GPU, on a CPU in its smallest form, and what only a GPU does differently, as far as a CPU can."""

from pathlib import Path

import pytest
import torch

from promptsr import kernels
from promptsr.model import attention
from tests.benchmarks.conftest import Start


def test_it_checks_and_measures(tmp_path: Path, start: Start) -> None:
    sizes = ("--side", 16, "--batch", 1, "--patch", 16, "--repeats", 1)
    start("gpu.py", "--device", "cpu", *sizes, "--output", tmp_path).check_returncode()
    text = (tmp_path / "gpu.md").read_text()
    assert "result 0.0e+00, gradient 0.0e+00" in text and "wait for the device 0 times" in text
    rows = [line for line in text.splitlines() if line.startswith(("| forward, 16 x 16", "| step, 1 of 16 x 16"))]
    assert (
        len(rows) == 8 and sum("bfloat16" in row for row in rows) == 4 and sum("explicit" in row for row in rows) == 4
    )


@pytest.mark.parametrize("c", [12, 16, 5])
def test_padded_channels_change_nothing(c: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU, which wants whole 16 bytes: on a CPU that claims not to be one."""
    q, k, v = (torch.randn(2, 3, 20, c, generator=torch.Generator().manual_seed(i)) for i in range(3))
    bias = torch.randn(3, 20, 20, generator=torch.Generator().manual_seed(9))
    expected = (0.4 * q @ k.mT + bias).softmax(-1) @ v
    with kernels.disabled():
        plain = attention.attend(q, k, v, 0.4, bias)
        monkeypatch.setattr(attention, "_is_cpu", lambda tensor: False)
        padded = attention.attend(q, k, v, 0.4, bias)
    torch.testing.assert_close(padded, expected)
    torch.testing.assert_close(plain, expected)
