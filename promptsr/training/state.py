"""The state of a run on disk: written all or nothing, and never the only one."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from promptsr.support.errors import CheckpointError, UserError
from promptsr.support.files import replacing

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
_PARTS = {"recipe", "images", "step", "best", "network", "average", "optimizers"}


def save_state(out: Path, state: dict[str, Any]) -> None:
    """Write `last.ckpt`; the one before becomes `previous.ckpt`. Killed at any moment, whole files are left.

    Args:
        out: folder of the run.
        state: `recipe`, plain values; `images`, name and size of each; `step` and `best`; tensors by name as `network`
            and `average`; and the states of the `optimizers`.

    Raises:
        UserError: the disk is full, or the folder cannot be written; what was saved before is still whole.
    """
    last = out / LAST
    with replacing(last) as temporary:
        try:
            torch.save(state, temporary)
        except RuntimeError as error:  # how torch tells of a full disk
            raise UserError(
                f"Cannot write {last}, probably because the disk is full: free some space, then go on with --resume."
            ) from error
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # a name must never come to stand for bytes that a power cut may lose
        if last.exists():
            with replacing(out / PREVIOUS) as kept:
                shutil.copyfile(last, kept)


def load_state(path: Path) -> dict[str, Any]:
    """Read a file of `save_state`, with its tensors on the CPU.

    Raises:
        CheckpointError: the file is missing, damaged, or something else.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no {path}: check the path.")
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        if state.keys() != _PARTS:
            raise ValueError("this is the state of something else")
    except Exception as error:  # torch raises whatever the unpickler meets in a damaged file
        previous = path.with_name(PREVIOUS)
        other = f"copy {previous} over it to go on from there" if previous.is_file() else "remove it to start anew"
        raise CheckpointError(f"{path} is damaged: {other}.") from error
    return state


def remove_leftovers(out: Path) -> None:
    """Remove the temporary files of killed writers."""
    for suffix in ("ckpt", "safetensors", "csv", "png"):
        for path in out.glob(f".*-*.{suffix}"):
            path.unlink(missing_ok=True)
