"""Averaged weights, which score better than the last ones."""

import torch
from torch import nn


class ExponentialMovingAverage:
    """w <- decay w + (1 - decay) new.

    The decay grows from 0 to its final value over the first steps, so that the fresh weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Average in the weights after `step` (0, 1, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        new = [value.detach() for value in network.state_dict().values()]
        torch._foreach_lerp_(list(self.weights.values()), new, 1 - decay)

    def load(self, weights: dict[str, torch.Tensor]) -> None:
        """Continue from these averaged weights."""
        for name, value in self.weights.items():
            value.copy_(weights[name])
