"""Read files of tensors, ours and those of other authors, without running any code that they hold."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load
from torch import Tensor
from torch.utils._pytree import tree_leaves

from promptsr.support.errors import CheckpointError

TENSOR_SUFFIXES = (".safetensors", ".pth", ".pt")
"""Suffixes of the files that `read_tensors` reads."""


def read_tensors(path: Path) -> dict[str, Any]:
    """Read the content of a checkpoint, named and nested as its authors did; empty if it is not a dictionary.

    Raises:
        CheckpointError: the file is missing, damaged, could run code, or holds sparse, quantised or repeated tensors.
    """
    if path.suffix.lower() == ".safetensors":
        return dict(read_safetensors(path)[0])
    check_there(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of a TorchScript file before it refuses it
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file makes torch fail in many ways, KeyError and IndexError among them
        # GLOBAL is pickle's word for a reference to code; TorchScript files are programs.
        unsafe = isinstance(error, UnpicklingError) and "GLOBAL" in str(error)
        if unsafe or "TorchScript" in str(error):
            raise CheckpointError(
                f"{path} holds more than tensors and could run code, so it was not opened: save its state_dict alone."
            ) from error
        raise CheckpointError(f"{path} is truncated or not a PyTorch file: download it again.") from error
    if any(isinstance(value, Tensor) and not _is_plain(value) for value in tree_leaves(content)):
        raise CheckpointError(f"{path} holds unusual tensors: save it with dense float tensors.")
    return {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}


def _is_plain(tensor: Tensor) -> bool:
    """Return whether every value of a tensor lies in the file: a few bytes can also stand for any number of values."""
    dense = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    return dense and tensor.nbytes <= tensor.untyped_storage().nbytes()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, and its metadata.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind, or not enough memory for it.
    """
    notes = read_notes(path)
    try:
        return load(path.read_bytes()), notes  # a mapped file that is cut while it is read would end the program
    except MemoryError as error:
        raise CheckpointError(f"{path} takes more memory than there is: close other programs.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(path) from error


def read_notes(path: Path) -> dict[str, str]:
    """Return only the metadata; tensors are not read, but they must be there.

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
    """Check that a file exists.

    Raises:
        CheckpointError: it does not.
    """
    if not os.path.isfile(path):  # False for names that are too long as well
        raise CheckpointError(f"There is no weights file {path}: check the path, or see `promptsr models`.")


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or not a safetensors file: download it again, or train anew.")
