"""Compilation of a network under training, where the machine can; notes say what it cannot do, and why."""

from collections.abc import Callable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from promptsr import kernels
from promptsr.support.errors import first_line

Forward = Callable[[Tensor], Tensor]


class Acceleration:
    """A network that runs forward and backward, compiled if this is asked for and works."""

    def __init__(self, fabric: Fabric, network: nn.Module, compiled: bool) -> None:
        self._fabric = fabric
        self._network = network
        self._notes: list[str] = []
        if fabric.device.type == "cpu" and (reason := kernels.why_not()) is not None:
            self._notes.append(f"Steps take longer than they need to. {reason}")
        self._untried = compiled
        module: nn.Module = torch.compile(network) if compiled else network  # type: ignore[assignment]
        self._module = fabric.setup_module(module)

    def backward(self, loss_of: Callable[[Forward], Tensor], *, last: bool = True) -> Tensor:
        """Add the gradients of the loss to the network's.

        A first step that fails in compiled code is repeated without it.

        Args:
            loss_of: takes the network and returns the loss; called again, it must return the same loss.
            last: whether this is the last part of a step, after which all devices share their gradients.

        Returns:
            The loss, detached.
        """
        if not self._untried:
            return self._step(loss_of, last)
        self._untried = False
        try:
            return self._step(loss_of, last)
        except Exception as error:
            reason = first_line(str(error)) or type(error).__name__
        # The exception is gone by now, and with it all that the failed step held.
        self._network.zero_grad(set_to_none=True)
        self._module = self._fabric.setup_module(self._network)
        loss = self._step(loss_of, last)  # a failure of the training itself is raised here again
        self._notes.append(f"The network is trained uncompiled, since torch.compile failed: {reason}")
        return loss

    def take_notes(self) -> tuple[str, ...]:
        """Return a sentence for each thing that is not available; every note is given once."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _step(self, loss_of: Callable[[Forward], Tensor], last: bool) -> Tensor:
        with self._fabric.no_backward_sync(self._module, enabled=not last):
            loss = loss_of(self._module)
            self._fabric.backward(loss)
        return loss.detach()
