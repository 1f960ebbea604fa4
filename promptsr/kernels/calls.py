"""How the kernels are called: with tensors, numbers and structures, from the threads that torch has."""

import ctypes
from typing import Any

import torch
from torch import Tensor

from promptsr.kernels.build import library, why_not

_DTYPES = (torch.float32, torch.bfloat16, torch.float16)
"""What float32 holds without loss."""


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
