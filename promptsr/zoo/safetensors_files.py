"""Read safetensors files, as they were when reading began.

The library itself maps a file: one that is cut while its tensors are read would end the program.
"""

import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor

from promptsr.support.errors import CheckpointError


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, and its notes.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind, or not enough memory for it.
    """
    notes = read_notes(path)
    try:
        return load(path.read_bytes()), notes
    except MemoryError as error:
        raise CheckpointError(f"{path} takes more memory than there is: close other programs.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path) from error


def read_notes(path: Path) -> dict[str, str]:
    """Return only the notes; tensors are not read, but they must be there.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind.
    """
    check_there(path)
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(path) from error


def check_there(path: Path) -> None:
    """Refuse a path at which there is no file of weights of any kind.

    Raises:
        CheckpointError: there is none.
    """
    if not os.path.isfile(path):  # False for names that are too long as well
        raise CheckpointError(f"There is no weights file {path}: check the path, or see `promptsr models`.")


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or not a safetensors file: download it again, or train anew.")
