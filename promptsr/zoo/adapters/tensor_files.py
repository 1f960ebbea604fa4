"""Reads checkpoints of other authors without running anything that they hold."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from promptsr.support.errors import CheckpointError
from promptsr.zoo.safetensors_files import check_there, read_notes, read_safetensors

TENSOR_SUFFIXES = (".safetensors", ".pth", ".pt")
"""Of the files that `read_tensors` reads."""


def is_foreign_safetensors(path: Path) -> bool:
    """Whether this is a safetensors file without the configuration that every PromptSR checkpoint carries."""
    try:
        return "config" not in read_notes(path)
    except CheckpointError:
        return False


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
        # Pickle's word for a reference to code, and a program of TorchScript.
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
    """Whether every value of a tensor lies in the file: a few bytes can also stand for any number of values."""
    dense = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    return dense and tensor.nbytes <= tensor.untyped_storage().nbytes()
