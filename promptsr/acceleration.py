"""Precision and compilation of a training run, as far as the machine has them; notes say what it has not, and why."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from promptsr import kernels
from promptsr.errors import first_line

Forward = Callable[[Tensor], Tensor]


class Acceleration:
    """Runs a network forward and back as fast as it was asked for, or without what cannot be had."""

    def __init__(self, network: nn.Module, device: str, precision: Literal["fp32", "bf16"], compiled: bool) -> None:
        self._network = network
        self._device = torch.device(device).type
        self._half = precision == "bf16"
        self._notes: list[str] = []
        if self._half and self._device == "cuda" and not torch.cuda.is_bf16_supported():
            self._half = False
            self._notes.append(f"{torch.cuda.get_device_name()} has no bfloat16, so the network is trained in float32.")
        if self._device == "cpu" and (reason := kernels.why_not()) is not None:
            self._notes.append(f"Steps take longer than they need to. {reason}")
        self._untried = compiled
        self._forward: Forward = torch.compile(network) if compiled else network

    def backward(self, loss_of: Callable[[Forward], Tensor]) -> Tensor:
        """Adds the gradients of the loss to the network's.

        A first step that fails in compiled code is done again without.

        Args:
            loss_of: takes the network, and returns a loss that depends on nothing else that changes.

        Returns:
            The loss, detached.
        """
        if not self._untried:
            return self._step(loss_of)
        try:
            loss = self._step(loss_of)
        except Exception as error:
            reason = first_line(str(error)) or type(error).__name__
        else:
            self._untried = False
            return loss
        # The exception is gone by now, and with it all that the failed step held.
        self._network.zero_grad(set_to_none=True)
        self._forward = self._network
        loss = self._step(loss_of)  # what has nothing to do with compiling fails here again
        self._notes.append(f"The network is trained uncompiled, since torch.compile failed: {reason}")
        self._untried = False
        return loss

    def take_notes(self) -> tuple[str, ...]:
        """What could not be had, a sentence each; every note is given once."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _step(self, loss_of: Callable[[Forward], Tensor]) -> Tensor:
        with torch.autocast(self._device, torch.bfloat16, enabled=self._half):
            loss = loss_of(self._forward)
        loss.backward()
        return loss.detach()
