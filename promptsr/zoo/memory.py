"""Working memory of forward passes, and the errors of running out of it.

Importing this module also tells the C library how much freed memory to keep.
"""

import ctypes
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from promptsr.config import PRESETS, ModelConfig
from promptsr.support.errors import UserError
from promptsr.support.resources import free_memory


@dataclass(frozen=True)
class WorkingMemory:
    """Peak memory of a forward pass beyond weights and input, in bytes: a straight line over the LR pixels."""

    per_pixel: int
    fixed: int = 0


MEASURED: dict[tuple[str, int], WorkingMemory] = {
    ("promptsr", 2): WorkingMemory(per_pixel=5195, fixed=1880064),
    ("promptsr", 3): WorkingMemory(per_pixel=5364, fixed=4206592),
    ("promptsr", 4): WorkingMemory(per_pixel=5247, fixed=2961408),
    ("promptsr-tiny", 2): WorkingMemory(per_pixel=5914, fixed=0),
    ("promptsr-tiny", 3): WorkingMemory(per_pixel=3149, fixed=42954752),
    ("promptsr-tiny", 4): WorkingMemory(per_pixel=5523, fixed=0),
}
"""By preset and scale: the line that no measured size lies above, with or without kernels, float32 on the CPU.
Sides of 128 to 256 pixels; `python benchmarks/working_memory.py` measures them again and prints these lines."""

_CAUTION = 1.5
"""Estimate for other configurations, as a multiple of the sizes of features and copies."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt
_LARGEST_KEPT, _MOST_KEPT = 2**27, 2**28
"""Bytes of the largest block, and of all free blocks at the end of its memory, that glibc keeps."""

_NO_CODE = r"could not create a primitive$"  # of oneDNN
# Only some of these errors have a type of their own, and not all of those are PyTorch's.
_SYMPTOMS = re.compile(
    "DefaultCPUAllocator|not enough memory|can't allocate memory|bad_alloc"
    f"|could not create a memory object$|{_NO_CODE}"  # oneDNN
    "|out of memory|ALLOC_FAILED"  # CUDA outside of PyTorch's allocator, cuBLAS and cuDNN
    "|Failed to allocate memory",  # onnxruntime
    re.IGNORECASE,
)


def working_memory(config: ModelConfig) -> WorkingMemory:
    """Return the working memory of a PromptSR network: measured for the presets, a cautious estimate for others."""
    for (name, scale), measured in MEASURED.items():
        if _alike(config) == _alike(replace(PRESETS[name], scale=scale)):
            return measured
    # Features, their queries, keys and values, and copies of these by window and by category; then the HR image.
    floats = 32 * config.channels + 9 * config.scale**2
    return WorkingMemory(round(_CAUTION * 4 * floats))


def _alike(config: ModelConfig) -> ModelConfig:
    """Return the configuration without the settings that make no difference to the peak."""
    return replace(config, groups=1, blocks_per_group=1, prompt_update=0.0, bicubic_skip=False)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an exception, or one that it was raised from, says that memory did not suffice."""
    if error is None:
        return False
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return _SYMPTOMS.search(str(error)) is not None or is_out_of_memory(error.__cause__)


def is_out_of_code_memory(error: BaseException) -> bool:
    """Return whether an exception says that oneDNN found no memory for the code that it generates for a layer."""
    return re.search(_NO_CODE, str(error)) is not None


def _keep_freed_memory() -> None:
    """Make glibc keep some of the memory that tensors free, for the next ones.

    By default it returns large blocks to the system at once, and the system clears them anew, page by page: 4 to 8 % of
    a forward pass. Does nothing if one of glibc's own environment variables is set.
    """
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    if sys.platform == "linux" and not any(name in os.environ for name in names):
        choose = getattr(ctypes.CDLL(None), "mallopt", lambda *_: 0)  # not every C library has it
        # Older glibc takes no more than 32 MiB. The second choice would turn off what it does without the first.
        if choose(_M_MMAP_THRESHOLD, _LARGEST_KEPT) or choose(_M_MMAP_THRESHOLD, 2**25):
            choose(_M_TRIM_THRESHOLD, _MOST_KEPT)


_keep_freed_memory()


def return_freed_memory() -> None:
    """Return freed memory that allocators keep to the device and the system, where other programs find it."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: 0)(0)  # not every C library has it


def lacks_memory(needed: int) -> bool:
    """Return whether less memory is free than these bytes, as far as the system tells."""
    free = free_memory()
    if free is not None and needed > free:
        return_freed_memory()
        free = free_memory()
    return free is not None and needed > free


@contextmanager
def enough_for_result(needed: int = 0) -> Iterator[None]:
    """Turn errors of memory into a message, where the result itself needs it and smaller tiles would not help.

    Args:
        needed: bytes that must be free at the start.

    Raises:
        UserError: they are not, or memory ran out within the context.
    """
    figures = ""
    try:
        if lacks_memory(needed):
            figures = f" It takes {needed / 1e9:.1f} GB, and {(free_memory() or 0) / 1e9:.1f} GB are free."
            raise MemoryError
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            "There is not enough memory for the result: close other programs, crop the image or use a smaller scale."
            + figures
        ) from error
