"""Optimisers and learning-rate schedules."""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn, optim

Schedule = Literal["cosine", "halving"]

# Where the paper halves the rate, as shares of the run: 250K, 400K, 450K, 475K and 490K of 500K iterations.
_HALVINGS = (0.5, 0.8, 0.9, 0.95, 0.98)


def build_optimizers(
    network: nn.Module, kind: Literal["adam", "muon"], lr: float, matrix_lr: float
) -> list[optim.Optimizer]:
    """Adam as in the paper, or Muon on the matrices and Adam on all the rest.

    Args:
        network: the network to train.
        kind: which of the two.
        lr: Adam's peak learning rate.
        matrix_lr: Muon's (no weight decay).
    """
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and not name.endswith("position_bias")]
    if kind == "adam":
        return [_adam(network.parameters(), lr)]
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    return [optim.Muon(matrices, lr=matrix_lr, weight_decay=0.0), _adam(rest, lr)]


def _adam(parameters: Iterable[Tensor], lr: float) -> optim.Optimizer:
    return optim.Adam(parameters, lr=lr, betas=(0.9, 0.999), eps=1e-8)


def rate(schedule: Schedule, step: int, steps: int, warmup: int) -> float:
    """Factor on the peak learning rate at `step` of `steps`: a linear warm-up, then the schedule."""
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * share))
    return 0.5 ** sum(share >= point for point in _HALVINGS)


class ExponentialMovingAverage:
    """Averaged weights, which score better than the last ones: w <- decay w + (1 - decay) new.

    The decay grows from 0 to its final value over the first steps, so that the fresh weights are soon forgotten.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Takes in the weights after `step` (0, 1, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            self.weights[name].lerp_(value.detach(), 1 - decay)
