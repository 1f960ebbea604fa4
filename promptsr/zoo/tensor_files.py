"""Read files of tensors, ours and those of other authors, without running any code that they hold."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.utils._pytree import tree_leaves

from promptsr.support.errors import CheckpointError
from promptsr.zoo.formats import check_there, damaged, read_header


def read_tensors(path: Path) -> dict[str, Any]:
    """Read the content of a checkpoint, named and nested as its authors did; empty if it is not a dictionary.

    Its first bytes tell a safetensors file from one of `torch.save`, whatever its suffix.

    Raises:
        CheckpointError: the file is missing, damaged, could run code, or holds sparse, quantised or repeated tensors.
    """
    check_there(path)
    if _is_safetensors(path):
        return dict(read_safetensors(path)[0])
    try:
        with warnings.catch_warnings(), path.open("rb") as file:  # of a path, torch would go by the suffix
            warnings.simplefilter("ignore")  # torch warns of a TorchScript file before it refuses it
            content: Any = torch.load(file, map_location="cpu", weights_only=True)
        leaves = tree_leaves(content)  # endless, if a dictionary holds itself
    except Exception as error:  # a damaged file makes torch fail in many ways, KeyError and IndexError among them
        # GLOBAL is pickle's word for a reference to code; TorchScript files are programs.
        unsafe = isinstance(error, UnpicklingError) and "GLOBAL" in str(error)
        if unsafe or "TorchScript" in str(error):
            raise CheckpointError(
                f"{path} holds more than tensors and could run code, so it was not opened: save its state_dict alone."
            ) from error
        raise CheckpointError(f"{path} is truncated or not a PyTorch file: download it again.") from error
    if any(isinstance(value, Tensor) and not _is_plain(value) for value in leaves):
        raise CheckpointError(f"{path} holds unusual tensors: save it with dense float tensors.")
    return {str(name): value for name, value in content.items()} if isinstance(content, Mapping) else {}


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    if start[:4] == b"PK\x03\x04":  # a file of torch.save
        return False
    # The length of a JSON object, and its first character.
    described = len(start) == 9 and start[8:] == b"{" and int.from_bytes(start[:8], "little") < path.stat().st_size
    return described or path.suffix.lower() == ".safetensors"


def _is_plain(tensor: Tensor) -> bool:
    """Return whether every value of a tensor lies in the file: a few bytes can also stand for any number of values."""
    dense = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    return dense and tensor.nbytes <= tensor.untyped_storage().nbytes()


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors of a file by name, and its metadata.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind, or not enough memory for it.
    """
    notes = read_header(path).notes
    try:
        return load(path.read_bytes()), notes  # a mapped file that is cut while it is read would end the program
    except MemoryError as error:
        raise CheckpointError(f"{path} takes more memory than there is: close other programs.") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise damaged(path) from error
