"""Optimisers and learning-rate schedules."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from torch import Tensor, nn, optim


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


def rate(step: int, steps: int, warmup: int, halve_at: Sequence[int]) -> float:
    """Factor on the peak learning rate at `step` of `steps`: a linear warm-up, then halvings or a cosine.

    Args:
        step: 0, 1, ...
        steps: of the whole run.
        warmup: steps before the peak.
        halve_at: steps at which the rate is halved, as in the paper; none: it falls to zero along a cosine.
    """
    if step < warmup:
        return (step + 1) / warmup
    if halve_at:
        return 0.5 ** sum(step >= point for point in halve_at)
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
