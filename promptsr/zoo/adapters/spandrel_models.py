"""Load checkpoints of the networks that spandrel knows: SwinIR, HAT, OmniSR, ATD, CRAFT, SAFMN, SPAN, and others."""

import importlib.util
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from promptsr.support.errors import CheckpointError
from promptsr.zoo.adapters.bounded_size import BoundedSize
from promptsr.zoo.adapters.probing import describe, estimate_bytes_per_pixel, has_gradients
from promptsr.zoo.adapters.torchvision_operators import import_torchvision
from promptsr.zoo.padding import pad
from promptsr.zoo.peers import peer_titles
from promptsr.zoo.sr_model import SRModel

_EXTRA = {"attn.aligned_relative_position_index": "SRFormer"}
"""Part of a tensor's name -> network that only the package spandrel_extra_arches knows."""
_SMALLEST = (2, 4, 8, 16, 32, 64)
"""Sides in pixels to which an image of one pixel is padded, until the network takes it."""


def load_spandrel(path: Path, state: dict[str, Tensor]) -> SRModel | None:
    """Build the model that these tensors belong to, named by the file's stem; None if spandrel knows none.

    Args:
        path: of the file.
        state: tensors by the names that their authors gave them; they are loaded strictly.

    Raises:
        CheckpointError: spandrel is not installed, the tensors do not fit, or the network is not one for
            super-resolution of colour images.
    """
    spandrel = _spandrel(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the style of its architectures
            with BoundedSize(state):
                found = spandrel.ModelLoader().load_from_state_dict(state)
    except spandrel.UnsupportedModelError as error:
        for mark, name in _EXTRA.items():
            if any(mark in key for key in state):
                raise CheckpointError(
                    f"{path} holds {name}: install the package that reads it with `pip install spandrel_extra_arches`, "
                    "within the licence of its authors."
                ) from error
        return None
    except Exception as error:  # spandrel detects by a few names, and fails in many ways if the others do not fit
        raise CheckpointError(
            f"{path} resembles a network that spandrel knows, but its tensors do not fit: choose an unaltered "
            "checkpoint."
        ) from error
    name = found.architecture.name
    if isinstance(found, spandrel.MaskedImageModelDescriptor) or found.purpose != "SR" or found.scale < 2:
        raise CheckpointError(f"{path} holds {name} for {found.purpose.lower()}, not for super-resolution.")
    if (found.input_channels, found.output_channels) != (3, 3):
        raise CheckpointError(f"{path} holds {name} for {found.input_channels} channels: choose one for RGB images.")
    network = SpandrelNetwork(found).eval().requires_grad_(False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network.settle_padding()
            differentiable = has_gradients(network, max(16, found.size_requirements.minimum))
    except Exception as error:  # assertions on the size among them
        if "torchvision" in str(error):
            raise CheckpointError(
                f"{path} holds {name}, which calls compiled operators that this torchvision lacks: install torchvision "
                "from the package index that torch came from."
            ) from error
        raise CheckpointError(
            f"{path} holds {name}, which fails on a test image ({describe(error)}): choose an unaltered checkpoint."
        ) from error
    requirements = found.size_requirements
    return SRModel(
        path.stem,
        found.scale,
        network,
        min_tile=max(1, requirements.minimum, requirements.multiple_of),
        bytes_per_pixel=estimate_bytes_per_pixel(network),
        size_multiple=max(1, requirements.multiple_of),
        tiling=found.tiling.name.lower(),
        half_precision=found.supports_half,
        differentiable=differentiable,
    )


class SpandrelNetwork(nn.Module):
    """An architecture of spandrel (the child `network`) for images of any size.

    Spandrel's own call clamps, lets no gradients through, and pads to multiples even where the architecture pads by
    itself in another way, which costs CRAFT 0.03 dB on Set5.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model
        self._call = descriptor._call_fn  # how images go in and come out, where this is no plain call
        self._size = descriptor.size_requirements
        self._scale: int = descriptor.scale
        self._name: str = descriptor.architecture.name

    @torch.no_grad()  # a tensor of inference mode that a network keeps would break its gradients
    def settle_padding(self) -> None:
        """Find out whether sides must be padded to multiples, and the smallest side: not all architectures tell.

        Runs the architecture on an image of odd sides, then on one of a single pixel.

        Raises:
            Exception: it fails on padded images as well.
        """
        image = torch.zeros(1, 3, self._size.minimum + 17, self._size.minimum + 31)
        required, self._size = self._size, replace(self._size, multiple_of=1)
        try:
            padding_needed = self(image).shape[2:] != (self._scale * image.shape[2], self._scale * image.shape[3])
        except Exception:
            padding_needed = True
        if padding_needed:
            self._size = required
            self(image)
        for side in _SMALLEST:
            try:
                if self(image[..., :1, :1]).shape[2:] == (self._scale, self._scale):
                    return
            except Exception:
                self._size = replace(self._size, minimum=max(self._size.minimum, side))
        raise ValueError("it takes no image of a single pixel, however it is padded")

    def forward(self, image: Tensor) -> Tensor:
        """B x 3 x H x W in [0, 1] -> B x 3 x sH x sW, not clamped."""
        height, width = image.shape[2:]
        right, bottom = self._size.get_padding(width, height)
        output: Tensor = self._call(self.network, pad(image, right, bottom))  # a copy: RCAN writes into it
        return output[..., : self._scale * height, : self._scale * width]

    def _get_name(self) -> str:
        return self._name


def _spandrel(path: Path) -> ModuleType:
    """Import spandrel, with the architectures of spandrel_extra_arches if installed."""
    if importlib.util.find_spec("spandrel") is None or importlib.util.find_spec("torchvision") is None:
        raise CheckpointError(
            f"{path} holds no {peer_titles()}, and other networks need spandrel: install it with `pip install "
            "spandrel`."
        )
    import_torchvision()
    with suppress(ImportError):
        importlib.import_module("spandrel_extra_arches").install(ignore_duplicates=True)
    return importlib.import_module("spandrel")
