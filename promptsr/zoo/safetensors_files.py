"""safetensors files as they were when reading began.

The library itself maps a file: one that is cut while its tensors are read would end the program.
"""

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from promptsr.support.errors import CheckpointError

_LENGTH = 8
"""Bytes that say how long the header is."""
_NOTES = "__metadata__"
_LONGEST = 100 * 2**20
"""Bytes of a header, as in the library."""


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file by name, and its notes.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind, or not enough memory for it.
    """
    check_there(path)
    try:
        data = path.read_bytes()
        tensors = load(data)
        return tensors, _notes(json.loads(data[_LENGTH : _LENGTH + _length(data)]))
    except MemoryError as error:
        raise CheckpointError(f"{path} takes more memory than there is: close other programs.") from error
    except (SafetensorError, OSError, ValueError, KeyError, RecursionError) as error:
        raise _damaged(path) from error


def read_notes(path: Path) -> dict[str, str]:
    """Only the notes; tensors are not read, but they must be there.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind.
    """
    check_there(path)
    try:
        with path.open("rb") as file:
            length = _length(file.read(_LENGTH))
            header = file.read(length)
            size = os.fstat(file.fileno()).st_size
        content = json.loads(header)
        notes = _notes(content)
        end = max((each["data_offsets"][1] for name, each in content.items() if name != _NOTES), default=0)
        if size != _LENGTH + length + end:
            raise ValueError("tensors are cut")
        return notes
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise _damaged(path) from error


def _length(start: bytes) -> int:
    length = int.from_bytes(start[:_LENGTH], "little")
    if length > _LONGEST:
        raise ValueError("the header is too long")
    return length


def _notes(content: Any) -> dict[str, str]:
    notes = content.get(_NOTES) or {} if isinstance(content, dict) else None
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise ValueError("the header is not one of safetensors")
    return notes


def check_there(path: Path) -> None:
    """Refuses, with CheckpointError, a path at which there is no file of weights of any kind."""
    if not os.path.isfile(path):  # False for names that are too long as well
        raise CheckpointError(f"There is no weights file {path}: check the path, or see `promptsr models`.")


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or not a safetensors file: download it again, or train anew.")
