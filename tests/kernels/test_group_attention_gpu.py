"""Attention within groups as Triton computes it, against plain torch in float64; on the CPU by Triton's interpreter.

Run as a script, this prints the errors of every case: the interpreter has to be asked for before Triton is loaded.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

from promptsr import kernels
from promptsr.model.attention import attend_groups
from promptsr.model.groups import Groups, category_groups, window_groups
from promptsr.model.window_attention import _shift_masks
from tests.support.kernels import normal

HEADS, CHANNELS, SCALE = 4, 48, 0.4
CASES = ("window", "shifted window", "category", "category with fillers", "small window")
LARGEST = {"float32": 2e-6, "float16": 3e-3, "bfloat16": 2e-2}
"""Error of a result, relative to its largest value."""

without_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
without_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def case(name: str) -> tuple[Groups, int, Tensor | None]:
    """Return groups, the number of tokens, and a bias."""
    shape = torch.empty(2, 16, 32, 1)
    if name.startswith("category"):
        categories = torch.randint(0, 5, (2, 300 if "fillers" in name else 512))
        groups = category_groups(categories, 128)
        assert (groups.fillers > 0) == ("fillers" in name)
        return groups, categories.numel(), None
    window = 6 if name == "small window" else 16
    if window == 6:
        shape = torch.empty(2, 12, 18, 1)
    shift = window // 2 if name == "shifted window" else 0
    groups = window_groups(shape, window, shift, _shift_masks(window, shift) if shift else None)
    return groups, shape.numel(), normal(HEADS, window**2, window**2, seed=2)


def inputs(name: str, dtype: torch.dtype) -> tuple[Groups, list[Tensor], Tensor]:
    """Return groups, queries, keys and values with the bias, and the gradient of the result."""
    torch.manual_seed(0)
    groups, tokens, bias = case(name)
    qkv = normal(tokens, 3 * CHANNELS, seed=1).to(dtype)
    return groups, [qkv] if bias is None else [qkv, bias], normal(tokens, CHANNELS, seed=3).to(dtype)


def expected(groups: Groups, values: list[Tensor], to_out: Tensor) -> list[Tensor]:
    """Return the result and the gradients, in float64 by plain torch."""
    exact = [value.double().requires_grad_() for value in values]
    if groups.masks is not None:
        groups = Groups(groups.members, groups.per_image, 0, groups.masks.double(), groups.masked)
    with kernels.disabled():
        out = attend_groups(exact[0], groups, HEADS, SCALE, bias=next(iter(exact[1:]), None))
    return [out.detach(), *torch.autograd.grad(out, exact, to_out.double())]


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).abs().max() / wanted.abs().max())


def interpreted(name: str, dtype: torch.dtype) -> list[float]:
    from promptsr.kernels import group_attention_gpu as gpu

    groups, values, to_out = inputs(name, dtype)
    qkv, bias = values[0], values[1] if len(values) > 1 else None
    scale, masked = torch.tensor(SCALE), (groups.masks, groups.mask_of_group())
    out, logsum = gpu.attend_groups(qkv, groups.members, scale, HEADS, groups.per_image, groups.fillers, bias, *masked)
    to_qkv, to_bias = gpu.attend_groups_backward(
        qkv, groups.members, scale, bias, *masked, out, logsum, to_out, groups.per_image, groups.fillers
    )  # fmt: skip
    found = [out, to_qkv] if bias is None else [out, to_qkv, to_bias]
    return [error(mine, wanted) for mine, wanted in zip(found, expected(groups, values, to_out), strict=True)]


@without_triton
def test_interpreted_by_the_cpu() -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-m", __name__], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    errors = json.loads(done.stdout)
    assert errors.keys() == {f"{name}, {dtype}" for name in CASES for dtype in ("float32", "float16")}
    for label, each in errors.items():
        assert len(each) == (2 if label.startswith("category") else 3)
        assert max(each) < LARGEST[label.rpartition(" ")[2]], label


@without_gpu
@without_triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_on_a_gpu(name: str, dtype: torch.dtype) -> None:
    """Through the model's own function, with a learned scale."""
    groups, values, to_out = inputs(name, dtype)
    wanted = expected(groups, values, to_out)
    masked = tuple(numbers.cuda() for numbers in groups.masked)
    masks = None if groups.masks is None else groups.masks.cuda()
    there = Groups(groups.members.cuda(), groups.per_image, groups.fillers, masks, masked)
    mine = [value.cuda().requires_grad_() for value in values]
    out = attend_groups(mine[0], there, HEADS, torch.tensor([SCALE], device="cuda"), bias=next(iter(mine[1:]), None))
    found = [out.detach(), *torch.autograd.grad(out, mine, to_out.cuda())]
    for got, right in zip(found, wanted, strict=True):
        assert error(got.cpu(), right) < LARGEST[str(dtype).removeprefix("torch.")]


if __name__ == "__main__":
    dtypes = {"float32": torch.float32, "float16": torch.float16}
    print(json.dumps({f"{n}, {label}": interpreted(n, dtype) for n in CASES for label, dtype in dtypes.items()}))
