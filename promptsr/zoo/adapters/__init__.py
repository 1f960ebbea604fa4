"""Networks that are not ours, in the zoo's protocol: from checkpoints (`load_file`) and from code (`load_function`)."""

from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name

from promptsr.zoo.adapters.own_modules import FUNCTION, load_function
from promptsr.zoo.adapters.spandrel_models import load_spandrel
from promptsr.zoo.adapters.tensor_files import TENSOR_SUFFIXES, is_foreign_safetensors, read_tensors
from promptsr.zoo.peers import find_peer
from promptsr.zoo.sr_model import SRModel

__all__ = ["FUNCTION", "SUFFIXES", "is_foreign", "load_file", "load_function"]

_READERS = {
    ".onnx": "onnx_models:load_onnx",
}
"""Suffix of files that hold more than tensors, file here and function in it: a line is all that a new format needs."""
SUFFIXES = (*TENSOR_SUFFIXES, *_READERS)
"""Of the files that may hold a network, in the order in which one of two files of the same stem is chosen."""


def is_foreign(path: Path) -> bool:
    """Whether `load_file` is the one to read this file: by its suffix, and for safetensors by its header."""
    suffix = path.suffix.lower()
    return is_foreign_safetensors(path) if suffix == ".safetensors" else suffix in SUFFIXES


def load_file(path: Path) -> SRModel:
    """The model in a file of other authors, called by the file's stem, in evaluation mode.

    First the networks of `promptsr.zoo.peers`, then all that spandrel knows; `.onnx` through onnxruntime. Nothing but
    tensors is read from a checkpoint, so none can run code.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, or of an unknown network; the network is not one for
            super-resolution of colour images; or the package that would read it is not installed.
    """
    if reader := _READERS.get(path.suffix.lower()):
        model: SRModel = resolve_name(f"{__name__}.{reader}")(path)
        return model
    content = read_tensors(path)
    state = content.get("params", content)
    peer = find_peer(path, state) if isinstance(state, Mapping) else None
    return peer or load_spandrel(path, content)
