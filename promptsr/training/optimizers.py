"""Optimisers and learning-rate schedules."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn, optim


def build_optimizers(
    network: nn.Module, kind: Literal["adam", "muon"], lr: float, matrix_lr: float
) -> list[optim.Optimizer]:
    """Build Adam as in the paper, or Muon for the matrices and Adam for all the rest.

    Args:
        network: the network to train.
        kind: `adam`, or `muon` with Adam.
        lr: Adam's peak learning rate.
        matrix_lr: Muon's (no weight decay).
    """
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and not name.endswith("position_bias")]
    if kind == "adam":
        return [_adam(network.parameters(), lr)]
    chosen = {id(p) for p in matrices}
    rest = [p for p in network.parameters() if id(p) not in chosen]
    return [BatchedMuon(matrices, lr=matrix_lr, weight_decay=0.0), _adam(rest, lr)]


def _adam(parameters: Iterable[Tensor], lr: float) -> optim.Optimizer:
    return optim.Adam(parameters, lr=lr, betas=(0.9, 0.999), eps=1e-8, fused=True)


class BatchedMuon(optim.Muon):
    """`torch.optim.Muon`, with all matrices of one shape orthogonalised at once, in float32 on the CPU.

    There bfloat16 products are slower, and one small product after another takes longer than the arithmetic.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make one step; takes no closure."""
        assert closure is None
        for group in self.param_groups:
            parameters: list[Tensor] = []
            gradients: list[Tensor] = []
            momenta: list[Tensor] = []
            self._init_group(group, parameters, gradients, momenta)
            if not parameters:
                continue
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"]) if group["nesterov"] else momenta
            by_shape: defaultdict[torch.Size, list[int]] = defaultdict(list)
            for number, parameter in enumerate(parameters):
                by_shape[parameter.shape].append(number)
            for (rows, columns), numbers in by_shape.items():
                stacked = torch.stack([updates[number] for number in numbers])  # matrices x rows x columns
                directions = orthogonalised(stacked, group["ns_coefficients"], group["ns_steps"], group["eps"])
                chosen = [parameters[number] for number in numbers]
                torch._foreach_mul_(chosen, 1 - group["lr"] * group["weight_decay"])
                rate = group["lr"] * math.sqrt(max(1, rows / columns))
                torch._foreach_add_(chosen, list(directions.to(chosen[0].dtype).unbind()), alpha=-rate)


def orthogonalised(
    matrices: Tensor, coefficients: tuple[float, float, float], steps: int, smallest_norm: float
) -> Tensor:
    """Approximate the nearest orthogonal matrices: singular values between 0.7 and 1.2 (Keller Jordan's Muon).

    Args:
        matrices: N x rows x columns.
        coefficients: of the quintic Newton-Schulz iteration.
        steps: number of its steps.
        smallest_norm: the least by which a matrix is divided.

    Returns:
        N x rows x columns, bfloat16 on a GPU.
    """
    a, b, c = coefficients
    x = matrices if matrices.device.type == "cpu" else matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.mT if tall else x
    x = x / x.flatten(1).norm(dim=1).clamp(min=smallest_norm)[:, None, None]
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def rate(step: int, steps: int, warmup: int, halve_at: Sequence[int]) -> float:
    """Return the factor on the peak learning rate at a step: a linear warm-up, then halvings or a cosine.

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
