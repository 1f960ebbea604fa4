"""The networks that the benchmarks of speed and memory compare, by name: our presets and the peers that can be built.

Weights make no difference to the time: they are fresh where none are bundled.
"""

import importlib
import re
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from rich.text import Text
from torch import nn

from analysis.complexity.paper_networks import build_method, has_spandrel
from promptsr import kernels
from promptsr.cli.console import log
from promptsr.config import PRESETS, preset
from promptsr.model.network import PromptSR
from promptsr.support.errors import ConfigError
from promptsr.zoo.adapters.torchvision_operators import import_torchvision
from promptsr.zoo.load import SCALES, WEIGHTS, load_model

_PLAIN = "-torch"
_OURS = re.compile(rf"({'|'.join(PRESETS)})-x({'|'.join(map(str, SCALES))})({_PLAIN})?")
# As published: 573K and 240K parameters at x4, as the authors of DAT-light and SAFMN say.
_DAT_LIGHT = {
    "img_size": 64,
    "embed_dim": 60,
    "depth": [18],
    "num_heads": [6],
    "expansion_factor": 2,
    "resi_connection": "3conv",
    "split_size": [8, 32],
    "upsampler": "pixelshuffledirect",
    "upscale": 4,
}
_SAFMN = {"dim": 36, "n_blocks": 8, "ffn_scale": 2.0, "upscaling_factor": 4}

_PEERS: dict[str, Callable[[], nn.Module | None]] = {
    "omnisr": lambda: build_method("OmniSR"),
    "swinir-light": lambda: build_method("SwinIR-light"),
    "atd-light": lambda: build_method("ATD-light"),
    "hpinet-m": lambda: build_method("HPINet"),
    "craft": lambda: _from_spandrel("CRAFT", {"upscale": 4}),
    "dat-light": lambda: _from_spandrel("DAT", _DAT_LIGHT),
    "safmn": lambda: _from_spandrel("SAFMN", _SAFMN),
    "imdn": lambda: build_method("IMDN"),
    "smfanet-plus": lambda: build_method("SMFANet+"),
    "rcan": lambda: build_method("RCAN"),
    "swinir": lambda: build_method("SwinIR"),
}
MISSING = 'needs the package spandrel: install it with pip install -e ".[peers]".'
"""Why `build` returns nothing, behind the name of the network."""
REFERENCE = "promptsr-x4"
"""The network that every other one is compared with."""
_LARGE = ("rcan", "swinir")
ALL = (
    *(REFERENCE, f"{REFERENCE}{_PLAIN}", "promptsr-star-x4", "promptsr-tiny-x4"),
    *(name for name in _PEERS if name not in _LARGE),
)
"""The default: the networks that upscale x4, without the large ones."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One network to be measured."""

    name: str
    network: nn.Module
    """B x 3 x H x W -> B x 3 x sH x sW, in evaluation mode."""
    plain: bool = False
    """True if it runs without our kernels, in plain torch."""

    def running(self) -> AbstractContextManager[None]:
        """Return the context in which it runs."""
        return kernels.disabled() if self.plain else nullcontext()


def build(name: str) -> Contender | None:
    """Build the network called `name` on the CPU; None for a peer whose package (spandrel) is not installed.

    Args:
        name: a preset and its scale, such as `promptsr-x4`; with `-torch` behind it, it runs without our kernels. Or
            a peer, x4.

    Raises:
        ConfigError: there is no such network.
    """
    check([name])
    torch.manual_seed(0)
    if match := _OURS.fullmatch(name):
        return Contender(name, _ours(match[1], int(match[2])), plain=bool(match[3]))
    network = _PEERS[name]()
    return None if network is None else Contender(name, network.eval())


def tell_skipped(name: str) -> None:
    """Say on stderr that a peer is left out, and why."""
    log.print(Text("Skipped:", "bold yellow"), name, MISSING, soft_wrap=True)


def check(names: list[str]) -> None:
    """Refuse unknown names.

    Raises:
        ConfigError: it lists what there is.
    """
    for name in names:
        if name not in _PEERS and not _OURS.fullmatch(name):
            raise ConfigError(
                f"Unknown model {name!r}: choose among the peers {', '.join(_PEERS)}; or a preset "
                f"({', '.join(PRESETS)}) with -x2, -x3 or -x4 behind it, and {_PLAIN} behind that for plain torch."
            )


def _ours(name: str, scale: int) -> nn.Module:
    if (WEIGHTS / f"{name}-x{scale}.safetensors").is_file():
        return load_model(f"{name}-x{scale}").network
    return PromptSR(preset(name, scale=scale)).eval()


def _from_spandrel(architecture: str, settings: dict[str, Any]) -> nn.Module | None:
    if not has_spandrel():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operators of torchvision that none of these networks calls
        import_torchvision()
        network: nn.Module = getattr(importlib.import_module(f"spandrel.architectures.{architecture}"), architecture)(
            **settings
        )
    return network
