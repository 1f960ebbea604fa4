"""Nothing reaches the kernels but what they can read: types, layouts and indices that do not fit are refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from promptsr import kernels
from promptsr.kernels import attention_operators as attention
from promptsr.kernels import calls
from promptsr.kernels import token_operators as layers
from promptsr.model.attention import attend_all, attend_groups
from promptsr.model.groups import Groups, category_groups, window_groups
from promptsr.model.network import build_model
from promptsr.model.window_attention import WindowSelfAttention
from tests.support.kernels import available, normal

pytestmark = available

HALVES = {torch.float32: 2e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2, torch.float64: 1e-12}
"""Largest error of a result, relative to its largest value."""


def guarded(values: Tensor) -> Tensor:
    """The same values, with NaN right behind them in memory."""
    memory = torch.full((values.numel() + 4096,), float("nan"), dtype=values.dtype)
    memory[: values.numel()] = values.flatten()
    return memory[: values.numel()].view(values.shape)


def groups_of(kind: str, dtype: torch.dtype) -> tuple[Groups, Tensor | None]:
    """Two images of 16 x 16 tokens, windows of 8."""
    if kind == "category":
        categories = torch.randint(0, 5, (2, 256), generator=torch.Generator().manual_seed(3))
        return category_groups(categories, 100), None
    layer = WindowSelfAttention(build_model("promptsr-tiny").config, shifted=kind == "shifted window").to(dtype)
    masks = None if layer.shift_masks is None else guarded(layer.shift_masks)
    groups = window_groups(torch.empty(2, 16, 16, 1), 8, layer.shift, masks)
    return groups, guarded(normal(2, 64, 64, seed=2, dtype=dtype)).requires_grad_()


def run(kind: str, inputs: list[Tensor], groups: Groups | None) -> Tensor:
    if groups is None:
        q, k, v = inputs
        return attend_all(q, k, v, 0.3, "key")[0]
    qkv, *bias = inputs
    return attend_groups(qkv, groups, 2, 0.3, bias[0] if bias else None)


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("kind", ["global", "window", "shifted window", "category"])
def test_every_type_of_network_gives_its_result(kind: str, dtype: torch.dtype) -> None:
    """Forward and backward, against plain torch in float64 on the very same values."""
    groups, inputs = None, [guarded(normal(2, 90, 32, seed=i, dtype=dtype)).requires_grad_() for i in range(3)]
    if kind != "global":
        groups, bias = groups_of(kind, dtype)
        inputs = [guarded(normal(512, 96, seed=1, dtype=dtype)).requires_grad_(), *([] if bias is None else [bias])]
    out = run(kind, inputs, groups)
    assert out.dtype == dtype
    to_out = guarded(normal(*out.shape, seed=9, dtype=dtype))
    found = [out, *torch.autograd.grad(out, inputs, to_out)]
    precise = [x.detach().double().requires_grad_() for x in inputs]
    if groups is not None and groups.masks is not None:
        groups = Groups(groups.members, groups.per_image, 0, groups.masks.double(), groups.masked)
    with kernels.disabled():
        reference = run(kind, precise, groups)
    wanted = [reference, *torch.autograd.grad(reference, precise, to_out.double())]
    for mine, expected in zip(found, wanted, strict=True):
        assert bool(mine.isfinite().all())
        assert float((mine.double() - expected).abs().max().detach()) <= HALVES[dtype] * float(
            expected.detach().abs().max()
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("preset", ["promptsr", "promptsr-tiny"])
def test_networks_run_in_half_precision(preset: str, dtype: torch.dtype) -> None:
    """With a bicubic skip too, for which torch has no half precision on the CPU."""
    torch.manual_seed(0)
    network = build_model(preset, groups=1, blocks_per_group=1).requires_grad_(False)
    image = torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(1))
    expected = network(image)
    found = network.to(dtype)(image.to(dtype))
    assert found.dtype == dtype
    # A category may fall the other way in half precision, so not every value is close.
    error = float((found.float() - expected).abs().mean() / expected.abs().mean())
    assert error < {torch.float16: 0.03, torch.bfloat16: 0.1}[dtype]


QKV = torch.rand(2, 8, 4), torch.rand(2, 9, 4), torch.rand(2, 9, 4)
GROUPED = torch.rand(16, 24), torch.arange(16).view(2, 8), torch.tensor(0.3)
MASKED = torch.rand(2, 8, 8), torch.zeros(2, 8, 8), torch.tensor([0, 1])
X, NORM = torch.rand(4, 64), (torch.ones(64), torch.zeros(64))
LAYERS = torch.rand(8, 64), torch.rand(8), torch.rand(64, 8), torch.rand(64)
CALLS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "attend_all": (attention.attend_all, (*QKV, 0.3, 0)),
    "attend_all_backward": (
        attention.attend_all_backward,
        (*QKV, torch.rand(2, 8, 4), torch.rand(2, 8), torch.rand(2, 8, 4), 0.3),
    ),
    "attend_groups": (attention.attend_groups, (*GROUPED, 2, 2, 0, *MASKED)),
    "attend_groups_backward": (
        attention.attend_groups_backward,
        (*GROUPED, *MASKED, torch.rand(16, 8), torch.rand(2, 2, 8), torch.rand(16, 8), 2, 0),
    ),
    "linear": (layers.linear, (X, *NORM, 1e-5, *LAYERS[:2], torch.rand(4, 8))),
    "linear_backward": (layers.token_layers_backward, (X, torch.rand(4, 8), True, 1e-5, *NORM, *LAYERS[:2])),
    "feed_forward": (layers.feed_forward, (X, *NORM, 1e-5, *LAYERS)),
    "feed_forward_backward": (layers.token_layers_backward, (X, torch.rand(4, 64), True, 1e-5, *NORM, *LAYERS)),
}
"""Operators with arguments that fit."""


@pytest.mark.parametrize("name", CALLS)
def test_what_does_not_fit_is_refused(name: str) -> None:
    """Every tensor of every kernel, one at a time."""
    operator, arguments = CALLS[name]
    operator(*arguments)
    for place, argument in enumerate(arguments):
        if not isinstance(argument, Tensor) or argument.ndim == 0:
            continue
        other = torch.float64 if argument.dtype == torch.int64 else torch.float16
        wrong = {"type": argument.to(other), "short": argument[:-1].clone(), "narrow": argument[..., :-1].contiguous()}
        if name == "feed_forward" and place == 0:
            del wrong["short"]  # fewer tokens are as good
        for fault, value in wrong.items():
            with pytest.raises((ValueError, RuntimeError, IndexError)):
                operator(*arguments[:place], value, *arguments[place + 1 :])
                pytest.fail(f"argument {place} was taken: {fault}")


def test_layouts_that_cannot_be_read() -> None:
    with pytest.raises(ValueError, match="x must be contiguous"):
        calls.pointer("x", torch.rand(4, 3).t(), (3, 4))
    with pytest.raises(ValueError, match="on meta"):
        calls.pointer("x", torch.rand(4, 3, device="meta"), (4, 3))
    with pytest.raises(ValueError, match=r"it is torch\.float16, 4 x 3"):
        calls.pointer("x", torch.rand(4, 3).half(), (4, 3))


@pytest.mark.parametrize("wrong", [-1, 16, 1 << 40])
def test_indices_outside_are_refused(wrong: int) -> None:
    members = torch.arange(16).view(2, 8)
    members[1, 3] = wrong
    arguments = (torch.tensor(0.3), 2, 2, 0, torch.rand(2, 8, 8), torch.zeros(1, 8, 8))
    with pytest.raises(IndexError, match="attend_groups: an index lies outside"):
        attention.attend_groups(torch.rand(16, 24), members, *arguments, torch.zeros(2, dtype=torch.int64))
    with pytest.raises(IndexError, match="attend_groups: an index lies outside"):
        attention.attend_groups(torch.rand(16, 24), torch.arange(16).view(2, 8), *arguments, torch.tensor([0, wrong]))


def test_a_pointer_keeps_its_tensor() -> None:
    """A temporary one, too: memory that a kernel reads must not be given to the next tensor meanwhile."""
    held = calls.pointer("x", torch.rand(1000).clone(), (1000,))
    assert held.tensor is not None and held.value == held.tensor.data_ptr()
    structure = layers._linear(torch.rand(4, 3), torch.rand(4), 3)
    assert structure.weight == structure._values[0].tensor.data_ptr()  # type: ignore[union-attr]
