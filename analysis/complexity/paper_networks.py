"""The networks of the paper's tables that can be built here, with fresh weights: their size and cost can be counted.

HPINet, IMDN and SMFANet+ are ours; the others come from the optional package spandrel. No weights are needed.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

from torch import nn

from promptsr.config import preset
from promptsr.model.network import PromptSR
from promptsr.zoo.adapters.torchvision_operators import import_torchvision
from promptsr.zoo.peers.hpinet import HPINet
from promptsr.zoo.peers.imdn import IMDN
from promptsr.zoo.peers.smfanet import SMFANet

_SWINIR = {"img_size": 64, "window_size": 8, "mlp_ratio": 2.0}
_SWINIR_LIGHT = {**_SWINIR, "depths": [6] * 4, "num_heads": [6] * 4, "embed_dim": 60, "upsampler": "pixelshuffledirect"}
_SWINIR_LARGE = {**_SWINIR, "depths": [6] * 6, "num_heads": [6] * 6, "embed_dim": 180, "upsampler": "pixelshuffle"}
_OMNISR = {"num_feat": 64, "block_num": 1, "res_num": 5, "window_size": 8}
_ATD_LIGHT = {
    **{"img_size": 64, "embed_dim": 48, "depths": [6] * 4, "num_heads": [4] * 4, "window_size": 16, "mlp_ratio": 1},
    **{"category_size": 128, "num_tokens": 64, "reducted_dim": 8, "convffn_kernel_size": 7},
    "upsampler": "pixelshuffledirect",
}
_RCAN = {"n_resgroups": 10, "n_resblocks": 20, "n_feats": 64, "n_colors": 3}

_OURS: dict[str, Callable[[int], nn.Module]] = {
    "IMDN": IMDN,
    "SMFANet+": SMFANet,
    "HPINet": HPINet,
    "PromptSR": lambda scale: PromptSR(preset("promptsr", scale=scale)),
    "PromptSR*": lambda scale: PromptSR(preset("promptsr-star", scale=scale)),
}
# Method -> architecture of spandrel, what it calls the scale, and the settings that its authors published.
_SPANDREL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "SwinIR-light": ("SwinIR", "upscale", _SWINIR_LIGHT),
    "SwinIR": ("SwinIR", "upscale", _SWINIR_LARGE),
    "OmniSR": ("OmniSR", "up_scale", _OMNISR),
    "ATD-light": ("ATD", "upscale", _ATD_LIGHT),
    "RCAN": ("RCAN", "scale", _RCAN),
}
BUILDABLE = (*_OURS, *_SPANDREL)
"""Methods that `build_method` knows."""


def has_spandrel() -> bool:
    """True if the networks that spandrel brings can be built."""
    return importlib.util.find_spec("spandrel") is not None


def build_method(method: str, scale: int = 4) -> nn.Module | None:
    """Build the network of a row of the tables, with fresh weights, in evaluation mode.

    None for a method whose architecture is not here: not in `BUILDABLE`, or spandrel's while that is not installed.
    """
    if method in _OURS:
        return _OURS[method](scale).eval()
    if method not in _SPANDREL or not has_spandrel():
        return None
    name, scale_setting, settings = _SPANDREL[method]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of operators that none of these networks calls
        import_torchvision()
        architecture = getattr(importlib.import_module(f"spandrel.architectures.{name}"), name)
        network: nn.Module = architecture(**settings, **{scale_setting: scale})
    return network.eval()
