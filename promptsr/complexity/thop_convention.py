"""Counting rules of thop (0.1.1) by module: the convention behind most printed figures.

By exact type, as there; a module of any other kind costs nothing, and its parameters are not counted either.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def _convolution(module: Any, x: Tensor, y: Tensor) -> int:
    """Count without bias. A transposed convolution counts as if it were a plain one, by its output."""
    return y.numel() * (x.shape[1] // module.groups) * math.prod(module.kernel_size)


def _normalization(module: Any, x: Tensor, _output: Tensor) -> int:
    affine = getattr(module, "affine", False) or getattr(module, "elementwise_affine", False)
    return x.numel() * (4 if affine else 2)


def _softmax(module: Any, x: Tensor, _output: Tensor) -> int:
    """Count n exponentials, n - 1 additions and n divisions for each row of n."""
    length = x.shape[module.dim]
    return x.numel() // length * (3 * length - 1)


def _adaptive_pooling(_module: Any, x: Tensor, y: Tensor) -> int:
    """Count an addition for each element of the window, and a division."""
    return int((math.prod(x.shape[2:]) / math.prod(y.shape[2:]) + 1) * y.numel())


def _upsampling(module: Any, _x: Tensor, y: Tensor) -> int:
    return y.numel() * {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}.get(module.mode, 0)


RULES: dict[type[nn.Module], Callable[[Any, Tensor, Tensor], int]] = {
    nn.Conv2d: _convolution,
    nn.ConvTranspose2d: _convolution,
    nn.Linear: lambda module, _x, y: y.numel() * module.in_features,
    nn.LayerNorm: _normalization,
    nn.BatchNorm2d: _normalization,
    nn.InstanceNorm2d: _normalization,
    nn.Softmax: _softmax,
    nn.PReLU: lambda _module, x, _y: x.numel(),
    nn.AvgPool2d: lambda _module, _x, y: y.numel(),
    nn.AdaptiveAvgPool2d: _adaptive_pooling,
    nn.Upsample: _upsampling,
    nn.UpsamplingBilinear2d: _upsampling,
    nn.UpsamplingNearest2d: _upsampling,
}
"""Kind of module -> multiply-adds for (module, its first input, its output)."""
