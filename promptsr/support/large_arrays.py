"""Arrays that may be larger than memory: large ones lie in temporary files."""

import math
import mmap
import os
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from promptsr.support.errors import UserError

LARGE = 2**26
"""Bytes of the largest array that stays in memory."""


def empty_array(shape: Sequence[int], dtype: DTypeLike, most: int | None = None) -> np.ndarray:
    """Make an array; above `most` bytes (`LARGE` by default) a `np.memmap` of a file that vanishes with it.

    The file lies in the folder for temporary files (`TMPDIR`), and all its bytes are reserved from the start.

    Raises:
        UserError: the disk has no room for it.
    """
    size = array_bytes(shape, dtype)
    if size <= (LARGE if most is None else most):
        return np.empty(tuple(shape), dtype)
    check_disk(size)
    try:
        with tempfile.TemporaryFile(prefix="promptsr-") as file:  # the mapping keeps it when it is closed
            if hasattr(os, "posix_fallocate"):  # else a full disk would be found in the midst of the work, by a signal
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=tuple(shape))
    except OSError as error:
        raise _too_little(size, f"{error.strerror}") from error


def on_disk(array: np.ndarray) -> np.ndarray:
    """Return the values of an array in a temporary file, as `empty_array` makes them; if they are there, themselves.

    Raises:
        UserError: the disk has no room for them.
    """
    if isinstance(array, np.memmap):
        return array
    copy = empty_array(array.shape, array.dtype, most=0)
    copy[...] = array
    release(copy)
    return copy


def array_bytes(shape: Sequence[int], dtype: DTypeLike) -> int:
    """Return the bytes of an array."""
    return math.prod(shape) * np.dtype(dtype).itemsize


def check_disk(size: int) -> None:
    """Check that the folder for temporary files has room.

    Raises:
        UserError: it has less than `size` bytes.
    """
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free:
        raise _too_little(size, f"{free / 1e9:.1f} GB are free")


def release(array: np.ndarray) -> None:
    """Take what was read or written so far of an array in a file out of memory; nothing is lost or waited for."""
    mapping: Any = array.base
    if isinstance(mapping, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapping.madvise(mmap.MADV_DONTNEED)


def _too_little(size: int, why: str) -> UserError:
    return UserError(
        f"The result needs {size / 1e9:.1f} GB in {tempfile.gettempdir()} ({why}): free some space there, or set "
        "TMPDIR to another folder."
    )
