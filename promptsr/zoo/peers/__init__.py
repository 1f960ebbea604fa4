"""Networks of other authors, for comparison: `find_peer` knows the checkpoints that they publish.

Each network is written anew in one file, which is imported when a checkpoint looks like one of it. Weights are their
authors' own and do not come with this package.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from pkgutil import resolve_name

import torch
from torch import Tensor

from promptsr.zoo.peers.peer import Peer
from promptsr.zoo.sr_model import SRModel

_NETWORKS = {
    "imdn:IMDN": ("IMDB1.", ".distillation."),
    "smfanet:SMFANet": (".smfa.", ".aggregation."),
    "hpinet:HPINet": ("cross_match.", ".match_norm."),
    "idn:IDN": ("conv6_6.", ".lower."),
    "carn:CARN": ("upsample.up", "enlarging."),
    "lapar:LAPAR": ("decom_conv.", "dictionary"),
    "latticenet:LatticeNet": ("T_tdm1.", ".mean_gate."),
    "shufflemixer:ShuffleMixer": ("upsapling.", ".mixing."),
    "elan:ELAN": ("modules_gmsa.", ".mixing."),
    "swinirng:SwinIRNG": (".unigram_embed.",),
    "spin:SPIN": (".inter_layer.", ".inter."),
    "mambair:MambaIR": (".x_proj_weight",),
    "mambairv2:MambaIRv2": (".assm.", ".scan.mixtures"),
    "hitsr:HiTSRF": (".spatial_linear.",),
    "camixersr:CAMixerSR": (".mixer.route.",),
    "san:SAN": (".soca.", "unused_attention."),
    "nlsn:NLSN": (".conv_assembly.", ".assembly."),
}
"""Module in this folder and class in it -> parts of tensors' names, one of which every checkpoint has that is named as
its authors or as the class here name it. A new network is one line."""
_SCALES = (2, 3, 4)


def peer_titles() -> str:
    """Name the known networks for a sentence: `IMDN, SMFANet+ or HPINet-M (x2, x3 or x4)`."""
    *others, last = (_network(place).TITLE for place in _NETWORKS)
    return f"{', '.join(others)} or {last} (x2, x3 or x4)"


def find_peer(path: Path, state: Mapping[str, Tensor], scales: Sequence[int] = _SCALES) -> SRModel | None:
    """Build the model that tensors belong to, in evaluation mode; None if no network here fits.

    A network for several scales (`Peer.scales`) is built for the first of them.

    Args:
        path: the file; its stem becomes the model's name.
        state: tensors by the names that their authors gave them; names and shapes tell which network it is.
        scales: those that it may have.
    """
    for place, marks in _NETWORKS.items():
        if any(mark in name for name in state for mark in marks):
            kind = _network(place)
            weights = {
                _rename(name, kind.NAMES): value for name, value in state.items() if not name.endswith(kind.COMPUTED)
            }
            if model := _build(kind, path, weights, [scale for scale in scales if scale in _SCALES]):
                return model
    return None


def _build(kind: type[Peer], path: Path, state: Mapping[str, Tensor], scales: Sequence[int]) -> SRModel | None:
    """Build the model of this kind with these tensors; None if they do not fit."""
    if not all(value.numel() for value in state.values()):
        return None
    try:
        settings = kind.settings(state)
        if settings.get("width", 0) % settings.get("heads", 1):  # heads share the channels
            return None
        with torch.device("meta"):  # takes no memory, whatever the file asks for
            outlines = {scale: kind(scale, **settings) for scale in scales}
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        return None  # sizes that no such network has
    fitting = [
        scale
        for scale, outline in outlines.items()
        if scale in (outline.scales or (scale,)) and _shapes(outline.state_dict()) == _shapes(state)
    ]
    if not fitting:
        return None
    network = kind(fitting[0], **settings).eval().requires_grad_(False)
    if len(fitting) > 1 and set(fitting) != set(network.scales):
        return None  # IDN's tensors do not tell the scale; its authors' files do
    network.load_state_dict(state, strict=True)
    return SRModel(
        path.stem, fitting[0], network, kind.MIN_TILE, kind.BYTES_PER_PIXEL, size_multiple=kind.SIZE_MULTIPLE
    )


def _network(place: str) -> type[Peer]:
    network: type[Peer] = resolve_name(f"{__name__}.{place}")
    return network


def _rename(name: str, names: Mapping[str, str]) -> str:
    for theirs, ours in names.items():
        name = name.replace(theirs, ours)
    return name


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}
