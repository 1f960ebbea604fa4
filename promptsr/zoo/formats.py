"""Files that may hold a model: their suffixes, and the header of safetensors files; without torch, to be quick."""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from safetensors import SafetensorError, safe_open

from promptsr.config import ModelConfig
from promptsr.support.errors import CheckpointError

TENSOR_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
"""Suffixes of the files that `promptsr.zoo.tensor_files.read_tensors` reads."""
READERS = {
    ".onnx": "promptsr.zoo.adapters.onnx_models:load_onnx",
    ".caffemodel": "promptsr.zoo.adapters.caffe_models:load_caffe",
}
"""Suffix of files that hold more than tensors -> module and function in it. A new format is one line."""
SUFFIXES = (*TENSOR_SUFFIXES, *READERS)
"""Suffixes of files that may hold a network; of two files with the same stem, the one that comes first here wins."""
FUNCTION = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
"""Name of a function in a module: `package.module:function`."""
FORMAT = "promptsr"
"""Note `format` of the files that `promptsr.zoo.checkpoints.save_checkpoint` writes."""


@dataclass(frozen=True)
class Header:
    """Header of a safetensors file."""

    notes: dict[str, str]
    """Its metadata."""
    values: int
    """Number of values in all tensors together."""


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file; tensors are not read, but they must be there.

    Raises:
        CheckpointError: no such file, a damaged one or one of another kind.
    """
    check_there(path)
    try:
        with safe_open(path, framework="numpy") as file:  # shapes are the same for all frameworks
            values = sum(prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
            return Header(file.metadata() or {}, values)
    except (SafetensorError, OSError, ValueError) as error:
        raise damaged(path) from error


def is_promptsr(notes: Mapping[str, str]) -> bool:
    """Return whether a safetensors file with these notes was written by `promptsr.zoo.checkpoints.save_checkpoint`."""
    return notes.get("format") == FORMAT


def read_config(path: Path, notes: Mapping[str, str] | None = None) -> ModelConfig:
    """Return the configuration of a PromptSR checkpoint, from the file's header alone.

    Args:
        path: of the file.
        notes: of its header, where that is read already.

    Raises:
        CheckpointError: the file is missing, damaged or foreign, or its configuration is that of no network.
    """
    notes = read_header(path).notes if notes is None else notes
    if not is_promptsr(notes):
        raise CheckpointError(f"{path} holds no PromptSR network: choose a checkpoint written by `promptsr train`.")
    try:
        return ModelConfig.from_dict(json.loads(notes["config"]))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has an unusable configuration ({error}): write the checkpoint anew.") from error


def split_scale(name: str) -> tuple[str, int | None]:
    """Return the file and the scale in the name of one model of several in a file: `carn.pth@x3`; None without one."""
    match = re.fullmatch(r"(.+)@x(\d)", name, re.DOTALL)
    return (match[1], int(match[2])) if match else (name, None)


def check_there(path: Path) -> None:
    """Check that a file exists.

    Raises:
        CheckpointError: it does not.
    """
    if not os.path.isfile(path):  # False for names that are too long as well
        raise CheckpointError(f"There is no weights file {path}: check the path, or see `promptsr models`.")


def damaged(path: Path) -> CheckpointError:
    """Return the error for a safetensors file that cannot be read."""
    return CheckpointError(f"{path} is truncated or not a safetensors file: download it again, or train anew.")
