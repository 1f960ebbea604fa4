"""Calls of the kernels: with checked tensors, numbers and structures, and with memory and threads of torch."""

import ctypes
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
from torch import Tensor

from promptsr.kernels.build import library, why_not

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""Types that float32 holds without loss."""
_TRITON = find_spec("triton") is not None  # it comes with torch for a GPU
_LARGEST_GROUP = 256  # its similarities to 64 queries just fit into the registers of a GPU
R = TypeVar("R")


def operator(
    results: Callable[..., Any],
    backward: Callable[..., Any] | None = None,
    keep: Callable[..., None] | None = None,
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Make a function the torch operator `promptsr::NAME` for the CPU; it must change none of its arguments.

    `torch.library.custom_op` does the same, but loads torch's compiler when such an operator is first called, which
    takes longer than all of torch.

    Args:
        results: allocates the results for the same arguments, without values (`torch.library.register_fake`).
        backward: the gradients to the arguments, from what was kept and the gradients to the results. None: asking for
            one raises a RuntimeError.
        keep: puts aside what `backward` needs. Both are as `torch.library.register_autograd` wants them.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        name = f"promptsr::{function.__name__}"

        def refuse(*_: Any) -> None:
            raise RuntimeError(f"{name} has no gradient.")

        schema = torch.library.infer_schema(function, mutates_args=())
        torch.library.define(name, schema, tags=torch.Tag.pt2_compliant_tag)
        torch.library.impl(name, "cpu", function)
        torch.library.register_fake(name, results)
        torch.library.register_autograd(name, backward or refuse, setup_context=keep)
        made: Callable[..., R] = getattr(torch.ops.promptsr, function.__name__)
        return made

    return decorate


def empty_like(tensor: Tensor) -> Tensor:
    """Allocate a contiguous tensor of the same shape and type."""
    return torch.empty_like(tensor, memory_format=torch.contiguous_format)


def usable(tensor: Tensor) -> bool:
    """Return whether the kernels can take such a tensor here, as float32: it is on the CPU, and there are kernels."""
    return tensor.device.type == "cpu" and tensor.dtype in _DTYPES and why_not() is None


def groups_on_gpu(tensor: Tensor, size: int) -> bool:
    """Return whether the kernels can take groups of this size on a GPU: in half precision, if Triton is installed."""
    return tensor.device.type == "cuda" and tensor.dtype in _DTYPES[1:] and size <= _LARGEST_GROUP and _TRITON


class Pointer(ctypes.c_void_p):
    """The address of a tensor's first value, which it keeps alive."""

    tensor: Tensor | None = None


class Structure(ctypes.Structure):
    """A structure of a kernel's source; keeps the tensors alive that its pointers point to."""

    def __init__(self, *values: "Pointer | int | float") -> None:
        super().__init__(*values)
        self._values = values


def pointer(name: str, tensor: Tensor | None, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Pointer:
    """Return the address of a tensor's first value; null for None.

    The only way from Python to the kernels, which read what they are told to, whatever lies there.

    Args:
        name: what the message calls the tensor.
        tensor: what the kernel will read or write.
        shape: what it must have.
        dtype: likewise.

    Raises:
        ValueError: the tensor has another type or shape, or is not contiguous on the CPU.
    """
    if tensor is None:
        return Pointer(None)
    if (
        tensor.dtype != dtype
        or tensor.device.type != "cpu"
        or tensor.layout != torch.strided
        or tensor.shape != torch.Size(shape)
        or not tensor.is_contiguous()
    ):
        raise ValueError(
            f"{name} must be contiguous, {dtype}, {' x '.join(map(str, shape))}, on the CPU; it is {tensor.dtype}, "
            f"{' x '.join(map(str, tensor.shape))}, on {tensor.device}, {tensor.layout}, strides {tensor.stride()}."
        )
    result = Pointer(tensor.data_ptr() if tensor.numel() else None)
    result.tensor = tensor
    return result


def call(function: str, *arguments: Pointer | Structure | int | float) -> None:
    """Call a kernel with pointers, whole numbers, floats and structures.

    Raises:
        RuntimeError: torch has not enough memory for what the kernel needs meanwhile, with torch's own message.
        IndexError: a number of a token or mask in a tensor is too large or negative.
    """

    def convert(argument: Pointer | Structure | int | float) -> Any:
        if isinstance(argument, float):
            return ctypes.c_float(argument)
        if isinstance(argument, int):
            return ctypes.c_int64(argument)
        return ctypes.byref(argument) if isinstance(argument, Structure) else argument

    kernel = getattr(library(), function)
    converted, threads = [convert(argument) for argument in arguments], ctypes.c_int64(torch.get_num_threads())
    # Without memory a kernel only says how many floats it needs.
    memory = torch.empty(kernel(*converted, None, threads), dtype=torch.float32)
    if kernel(*converted, ctypes.c_void_p(memory.data_ptr()), threads) != 0:
        raise IndexError(f"{function}: an index lies outside of what it points into.")
