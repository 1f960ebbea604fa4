"""Networks of other authors, for comparison: `find_peer` knows the checkpoints that they publish.

Each network is written anew in one file. Weights are their authors' own and do not come with this package.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from promptsr.errors import CheckpointError
from promptsr.peers.hpinet import HPINet
from promptsr.peers.imdn import IMDN
from promptsr.peers.smfanet import SMFANet
from promptsr.sr_model import SRModel

_NETWORKS: tuple[type[IMDN] | type[SMFANet] | type[HPINet], ...] = (IMDN, SMFANet, HPINet)
_SCALES = (2, 3, 4)


def find_peer(path: Path, content: Mapping[Any, Any]) -> SRModel | None:
    """The model whose tensors these are: IMDN, SMFANet+ or HPINet-M, x2, x3 or x4, in evaluation mode; or None.

    Args:
        path: of the file; its stem becomes the model's name.
        content: tensors by the names their authors gave them; names and shapes tell which network it is.

    Raises:
        CheckpointError: the tensors are of one of these networks, but sparse or quantised.
    """
    state = {str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}
    for kind in _NETWORKS:
        renamed = {_rename(name, kind.NAMES): value for name, value in state.items()}
        for scale in _SCALES:
            with torch.device("meta"):
                expected = kind(scale).state_dict()
            if _shapes(expected) == _shapes(renamed):
                network = kind(scale).eval().requires_grad_(False)
                try:
                    network.load_state_dict(renamed, strict=True)
                except RuntimeError as error:
                    raise CheckpointError(f"{path} holds unusual tensors: save it with dense float tensors.") from error
                return SRModel(path.stem, scale, network, kind.MIN_TILE, kind.BYTES_PER_PIXEL)
    return None


def _rename(name: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        name = name.replace(theirs, ours)
    return name


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
