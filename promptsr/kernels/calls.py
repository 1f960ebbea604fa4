"""How the kernels are called: with tensors, numbers and structures, from the threads that torch has."""

import ctypes
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from promptsr.kernels.build import library, why_not

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What float32 holds without loss."""
R = TypeVar("R")


def operator(
    backward: Callable[..., Any] | None = None, keep: Callable[..., None] | None = None
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Makes a function the torch operator `promptsr::NAME` for the CPU; it must change none of its arguments.

    `torch.library.custom_op` does the same, but loads torch's compiler when such an operator is first called, which
    takes longer than all of torch.

    Args:
        backward: the gradients to the arguments, from what was kept and the gradients to the results. None: there are
            none, and whoever wants one gets a RuntimeError.
        keep: puts aside what `backward` needs. Both are as `torch.library.register_autograd` wants them.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        name = f"promptsr::{function.__name__}"

        def refuse(*_: Any) -> None:
            raise RuntimeError(f"{name} has no gradient.")

        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(name, schema, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(name, "cpu", function)
        torch.library.register_autograd(name, backward or refuse, setup_context=keep)
        made: Callable[..., R] = getattr(torch.ops.promptsr, function.__name__)
        return made

    return decorate


def usable(tensor: Tensor) -> bool:
    """Whether the kernels can take such a tensor here, as float32: it is on the CPU, and there are kernels."""
    return tensor.device.type == "cpu" and tensor.dtype in _DTYPES and why_not() is None


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """To the first value of a contiguous tensor; null without one. It does not keep the tensor alive."""
    assert tensor is None or tensor.is_contiguous()
    return ctypes.c_void_p(tensor.data_ptr() if tensor is not None and tensor.numel() else None)


def call(function: str, *arguments: Any) -> None:
    """Calls a kernel with tensors (contiguous, or None), whole numbers, floats and structures."""

    def convert(argument: Any) -> Any:
        if argument is None or isinstance(argument, Tensor):
            return pointer(argument)
        if isinstance(argument, float):
            return ctypes.c_float(argument)
        return ctypes.c_int64(argument) if isinstance(argument, int) else ctypes.byref(argument)

    getattr(library(), function)(*map(convert, arguments), ctypes.c_int64(torch.get_num_threads()))
