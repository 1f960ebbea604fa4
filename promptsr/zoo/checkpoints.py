"""PromptSR checkpoints: a safetensors file with the tensors, the configuration, and information on the training."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from promptsr.config import ModelConfig
from promptsr.model.network import PromptSR
from promptsr.support.errors import CheckpointError
from promptsr.support.files import replacing
from promptsr.zoo.formats import FORMAT, read_config, read_header
from promptsr.zoo.tensor_files import read_safetensors

_MOST_TABLES = 2**30
"""Largest size in bytes of a network's buffers, the tables of positions in windows: 40 times those of PromptSR."""


def save_checkpoint(path: Path, config: ModelConfig, state: Mapping[str, Tensor], info: dict[str, Any]) -> None:
    """Write weights, configuration and further information (`info`, JSON values), all or nothing.

    Raises:
        UserError: the file cannot be written.
    """
    metadata = {"format": FORMAT, "config": json.dumps(config.to_dict()), "info": json.dumps(info)}
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except SafetensorError as error:
            raise CheckpointError(
                f"Cannot write {path} ({error}): free some space, or choose another folder."
            ) from error


def load_checkpoint(path: Path, scale: int | None = None) -> PromptSR:
    """Load the network in a file, in evaluation mode.

    Args:
        path: a safetensors file written by `save_checkpoint`.
        scale: the scale that the caller needs, or None for any.

    Raises:
        CheckpointError: the file is missing, damaged, foreign, of another scale, or its tensors do not fit its own
            configuration; the message names the first of them.
    """
    state, notes = read_safetensors(path)
    config = read_config(path, notes)
    if scale is not None and config.scale != scale:
        raise CheckpointError(f"{path} upscales x{config.scale}, not x{scale}: choose weights for x{scale}.")
    if not _is_modest(config):
        # Takes no memory, whatever the file asks for, but seconds: the meta device loads torch's compiler.
        with torch.device("meta"):
            outline = PromptSR(config)
        _check_fit(path, outline.state_dict(), state)
        if sum(table.nbytes for table in outline.buffers()) > _MOST_TABLES:
            raise CheckpointError(f"{path} asks for windows too large for so many blocks: choose a smaller network.")
    network = PromptSR(config)
    _check_fit(path, network.state_dict(), state)
    network.load_state_dict(state)
    return network.eval().requires_grad_(False)


def _is_modest(config: ModelConfig) -> bool:
    """Return whether a network takes some ten megabytes at most, as those of the paper do."""
    blocks = config.groups * config.blocks_per_group
    return blocks <= 16 and config.channels <= 64 and config.window_size <= 16 and config.mlp_ratio <= 4


def refuse_without_settings(path: Path, content: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Refuse tensors of a PromptSR that come without its configuration.

    Args:
        path: of the file.
        content: of the file.
        state: tensors in it, by their names in the network.

    Raises:
        CheckpointError: these are such tensors; the message says which file to choose instead.
    """
    if "encoder.weight" not in state or not any(name.startswith("groups.0.blocks.0.") for name in state):
        return
    if {"recipe", "network", "average"} <= content.keys():
        raise CheckpointError(
            f"{path} is the state of a training run: choose best.safetensors or final.safetensors of that run, or go "
            "on with it by `promptsr train --resume`."
        )
    raise CheckpointError(
        f"{path} holds the tensors of a PromptSR without its settings: choose a .safetensors file that `promptsr "
        "train` wrote."
    )


def read_info(path: Path) -> dict[str, Any]:
    """Read the information that was saved with the weights. Raises CheckpointError as `load_checkpoint`."""
    try:
        info = json.loads(read_header(path).notes.get("info", "{}"))
    except (ValueError, RecursionError):
        info = None
    if not isinstance(info, dict):
        raise CheckpointError(f"{path} has unreadable notes: write the checkpoint anew.")
    return info


def _check_fit(path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    for problem, names in (
        ("lacks", sorted(expected.keys() - found.keys())),
        ("has the unknown", sorted(found.keys() - expected.keys())),
        ("has the wrong shape in", [k for k in sorted(expected) if k in found and expected[k].shape != found[k].shape]),
        ("has the wrong type in", [k for k in sorted(found) if not found[k].is_floating_point()]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise CheckpointError(
                f"{path} {problem} tensor {names[0]}{more}: its weights were made for another network."
            )
