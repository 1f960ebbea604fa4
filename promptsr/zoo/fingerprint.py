"""Fingerprint of a network: hash of its weights and settings."""

import hashlib
import json

import torch
from torch import nn

from promptsr.model.network import PromptSR


def fingerprint(network: nn.Module) -> str:
    """Return the SHA-256 of settings and weights, which is equal for networks that compute the same.

    The settings are the configuration of a PromptSR, and the `repr` of any other network: a change of only the code of
    your own function goes unnoticed.
    """
    settings = network.config.to_dict() if isinstance(network, PromptSR) else repr(network)
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
