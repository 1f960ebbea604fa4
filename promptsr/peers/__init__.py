"""Networks of other authors, for comparison: `load_peer` reads the checkpoints that they publish.

Each network is written anew in one file. Weights are their authors' own and do not come with this package.
"""

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from promptsr.errors import CheckpointError
from promptsr.peers.hpinet import HPINet
from promptsr.peers.imdn import IMDN
from promptsr.peers.smfanet import SMFANet
from promptsr.sr_model import SRModel

SUFFIXES = (".pth", ".pt")
"""Of the files that `load_peer` reads."""

_NETWORKS: tuple[type[IMDN] | type[SMFANet] | type[HPINet], ...] = (IMDN, SMFANet, HPINet)
_SCALES = (2, 3, 4)


def load_peer(path: Path) -> SRModel:
    """The model in a file, called by the file's stem, in evaluation mode: IMDN, SMFANet+ or HPINet-M, x2, x3 or x4.

    Names and shapes of the tensors tell which it is. Nothing but tensors is ever read from the file.

    Raises:
        CheckpointError: the file is missing, unsafe, damaged, or holds no such network.
    """
    state = _read(path)
    for kind in _NETWORKS:
        renamed = {_rename(name, kind.NAMES): value for name, value in state.items()}
        for scale in _SCALES:
            with torch.device("meta"):
                expected = kind(scale).state_dict()
            if _shapes(expected) == _shapes(renamed):
                network = kind(scale).eval().requires_grad_(False)
                try:
                    network.load_state_dict(renamed, strict=True)
                except RuntimeError as error:  # sparse or quantised
                    raise CheckpointError(f"{path} holds unusual tensors: save it with dense float tensors.") from error
                return SRModel(path.stem, scale, network, kind.MIN_TILE, kind.BYTES_PER_PIXEL)
    raise CheckpointError(
        f"{path} holds none of the networks known here: choose a checkpoint of IMDN, SMFANet+ or HPINet-M (x2, x3 or "
        "x4), or a .safetensors file of PromptSR."
    )


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by the names their authors gave them; other content is left out."""
    if not path.is_file():
        raise CheckpointError(f"There is no weights file {path}: check the path, or see `promptsr models`.")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "GLOBAL" not in str(error):  # pickle's word for a reference to code
            raise _damaged(path) from error
        raise CheckpointError(
            f"{path} holds more than tensors and could run code, so it was not opened: save its state_dict alone."
        ) from error
    except Exception as error:  # a damaged file makes torch fail in many ways, KeyError and IndexError among them
        raise _damaged(path) from error
    if isinstance(content, Mapping):
        content = content.get("params", content)
    if not isinstance(content, Mapping):
        return {}
    return {str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path} is truncated or not a PyTorch file: download it again.")


def _rename(name: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        name = name.replace(theirs, ours)
    return name


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
