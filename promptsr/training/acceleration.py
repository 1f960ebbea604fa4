"""Faster steps where the machine can: compiled, and recorded on a GPU; notes say what it cannot do, and why."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from promptsr import kernels
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.support.errors import first_line

LossOf = Callable[..., Tensor]
"""The loss of a network, its first argument, for tensors, all others; it must not change from step to step."""


class Acceleration:
    """A network that runs forward and backward; compiled, and recorded on a single GPU, if this is asked for and works.

    Its blocks are alike, so that two are compiled for all: with anchor prompts of a block before, and without.
    """

    def __init__(self, fabric: Fabric, network: nn.Module, compiled: bool) -> None:
        self._fabric = fabric
        self._network = network
        self._notes: list[str] = []
        if fabric.device.type == "cpu" and (reason := kernels.why_not()) is not None:
            self._notes.append(f"Steps take longer than they need to. {reason}")
        self._blocks = [block for block in network.modules() if isinstance(block, CascadePromptingBlock)]
        if compiled:
            for block in self._blocks:
                block.compile(dynamic=False)
        self._untried = compiled
        recorded = compiled and fabric.device.type == "cuda" and fabric.world_size == 1
        self._recordings: dict[tuple[torch.Size, ...], _Recording] | None = {} if recorded else None
        self._module = fabric.setup_module(network)

    def backward(self, loss_of: LossOf, *inputs: Tensor, last: bool = True) -> Tensor:
        """Add the gradients of the loss to the network's.

        A first step that fails in compiled code is repeated without it.

        Args:
            loss_of: called with the network and the inputs.
            inputs: tensors on the device.
            last: whether this is the last part of a step, after which all devices share their gradients.

        Returns:
            The loss, detached; valid until the next call.
        """
        if not self._untried:
            return self._replay(loss_of, inputs, last)
        self._untried = False
        try:
            return self._replay(loss_of, inputs, last)
        except Exception as error:
            reason = first_line(str(error)) or type(error).__name__
        # The exception is gone by now, and with it all that the failed step held.
        self._network.zero_grad(set_to_none=True)
        self._recordings = None
        for block in self._blocks:
            block._compiled_call_impl = None
        loss = self._step(loss_of, inputs, last)  # a failure of the training itself is raised here again
        self._notes.append(f"The network is trained uncompiled, since torch.compile failed: {reason}")
        return loss

    def forget(self) -> None:
        """Set the gradients to zero."""
        if self._recordings is None:
            self._network.zero_grad(set_to_none=True)
        else:  # recordings know where they lie
            torch._foreach_zero_([each.grad for each in self._network.parameters() if each.grad is not None])

    def take_notes(self) -> tuple[str, ...]:
        """Return a sentence for each thing that is not available; every note is given once."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _replay(self, loss_of: LossOf, inputs: Sequence[Tensor], last: bool) -> Tensor:
        if self._recordings is None:
            return self._step(loss_of, inputs, last)
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes not in self._recordings:
            step = partial(self._step, loss_of, last=last)
            self._recordings[shapes] = _Recording(step, inputs, list(self._network.parameters()))
        return self._recordings[shapes].replay(inputs)

    def _step(self, loss_of: LossOf, inputs: Sequence[Tensor], last: bool) -> Tensor:
        with self._fabric.no_backward_sync(self._module, enabled=not last):
            loss = loss_of(self._module, *inputs)
            self._fabric.backward(loss)
        return loss.detach()


class _Recording:
    """Everything that a GPU does in a forward and backward pass, for inputs of one shape.

    A step is thousands of short kernels, which Python starts more slowly than the GPU runs them.
    """

    def __init__(
        self, step: Callable[[Sequence[Tensor]], Tensor], inputs: Sequence[Tensor], parameters: Sequence[nn.Parameter]
    ) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        before = [gradient.clone() for gradient in gradients]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # until everything is compiled and chosen
                step(self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        torch._foreach_copy_(gradients, before)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="relaxed"):  # other threads pin memory meanwhile
            self._loss = step(self._inputs)

    def replay(self, inputs: Sequence[Tensor]) -> Tensor:
        """Do the same for other values of the inputs."""
        torch._foreach_copy_(self._inputs, list(inputs))
        self._graph.replay()
        return self._loss
