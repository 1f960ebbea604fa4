"""Networks of other authors, for comparison: `find_peer` knows the checkpoints that they publish.

Each network is written anew in one file. Weights are their authors' own and do not come with this package.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import Tensor

from promptsr.zoo.peers.peer import Peer
from promptsr.zoo.sr_model import SRModel

_NETWORKS = (
    "imdn:IMDN",
    "smfanet:SMFANet",
    "hpinet:HPINet",
)
"""Module in this folder and class in it. A new network is one line."""
_SCALES = (2, 3, 4)


def peer_titles() -> str:
    """Name the known networks for a sentence: `IMDN, SMFANet+ or HPINet-M (x2, x3 or x4)`."""
    *others, last = (kind.TITLE for kind in _networks())
    return f"{', '.join(others)} or {last} (x2, x3 or x4)"


def find_peer(path: Path, state: Mapping[str, Tensor]) -> SRModel | None:
    """Build the model that tensors belong to, x2, x3 or x4, in evaluation mode; None if no network here fits.

    Args:
        path: the file; its stem becomes the model's name.
        state: tensors by the names that their authors gave them; names and shapes tell which network it is.
    """
    for kind in _networks():
        renamed = {_rename(name, kind.NAMES): value for name, value in state.items()}
        for scale in _SCALES:
            if _expected()[kind, scale] == _shapes(renamed):
                network = kind(scale).eval().requires_grad_(False)
                network.load_state_dict(renamed, strict=True)
                return SRModel(path.stem, scale, network, kind.MIN_TILE, kind.BYTES_PER_PIXEL)
    return None


@cache  # building nine networks takes a while, even without values
def _expected() -> dict[tuple[type[Peer], int], dict[str, torch.Size]]:
    with torch.device("meta"):
        return {(kind, scale): _shapes(kind(scale).state_dict()) for kind in _networks() for scale in _SCALES}


def _networks() -> list[type[Peer]]:
    return [resolve_name(f"{__name__}.{name}") for name in _NETWORKS]


def _rename(name: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        name = name.replace(theirs, ours)
    return name


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
