"""Networks of other authors as `SRModel`s: from checkpoints (`load_file`) and from code (`load_function`)."""

from collections.abc import Mapping
from pathlib import Path
from pkgutil import resolve_name

from promptsr.support.errors import CheckpointError
from promptsr.zoo.adapters.own_modules import FUNCTION, load_function
from promptsr.zoo.adapters.spandrel_models import load_spandrel
from promptsr.zoo.peers import find_peer
from promptsr.zoo.sr_model import SRModel
from promptsr.zoo.tensor_files import TENSOR_SUFFIXES, read_notes, read_tensors

__all__ = ["FUNCTION", "SUFFIXES", "is_foreign", "load_file", "load_function"]

_READERS = {
    ".onnx": "onnx_models:load_onnx",
}
"""Suffix of files that hold more than tensors -> module in this folder and function in it. A new format is one line."""
SUFFIXES = (*TENSOR_SUFFIXES, *_READERS)
"""Suffixes of files that may hold a network; of two files with the same stem, the one that comes first here wins."""


def is_foreign(path: Path) -> bool:
    """Return whether `load_file` reads this file: any other suffix, or safetensors without a PromptSR configuration."""
    suffix = path.suffix.lower()
    if suffix != ".safetensors":
        return suffix in SUFFIXES
    try:
        return "config" not in read_notes(path)
    except CheckpointError:
        return False


def load_file(path: Path) -> SRModel:
    """Load the model in a file of other authors, named by the file's stem, in evaluation mode.

    The networks of `promptsr.zoo.peers` are tried first, then those of spandrel; `.onnx` goes through onnxruntime. Only
    tensors are read from a checkpoint, so none can run code.

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
