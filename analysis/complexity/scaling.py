"""Growth of the cost of attention with the image: the exponents of the paper's Table II, measured.

Three layers of one width stand alone: plain self-attention (SA), window self-attention (WSA) and the global anchor
prompting layer (GAPL). Multiply-adds and bytes are counted exactly, by shapes; time is measured. An exponent is the
slope of a straight line through the logarithms of a cost and of the number of tokens HW.
"""

import time
import weakref
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.stats import linregress
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from promptsr.config import ModelConfig
from promptsr.model.attention import similarity
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.taps import explicit_attention
from promptsr.model.window_attention import WindowSelfAttention

WIDTH = 48
SIDES = (32, 64, 96, 128)
"""Sides of the square images, in tokens: multiples of 32, so that windows of 16 and 16 x 16 anchors fit."""
_TIMED_BYTES = 1 << 30
"""Layers that need more memory than this for an image are not timed on it."""
_REPEATS = 3


@dataclass(frozen=True)
class Exponent:
    """Growth of one cost of one layer."""

    layer: str
    quantity: str
    """`attention` (multiply-adds of products of two inputs), `multiply_adds` (those and the linear layers'), `maps`
    (bytes of the attention weights), `memory` (most bytes alive at once) or `seconds`."""
    expected: float | None
    """Power of HW in the term H^2 W^2 or HW H_d W_d of Table II, where H_d W_d is fixed or HW/d^2. None for a cost
    that is a sum of powers."""
    exponent: float
    error: float
    """Standard error of the slope."""
    tokens: tuple[int, ...]
    """HW of each image."""
    values: tuple[float, ...]


@dataclass(frozen=True)
class Scaling:
    """Table II, measured."""

    exponents: tuple[Exponent, ...]

    def of(self, layer: str, quantity: str) -> Exponent:
        """Return one of the exponents."""
        return next(e for e in self.exponents if (e.layer, e.quantity) == (layer, quantity))

    @property
    def finding(self) -> str:
        """The growth of attention in one sentence for each layer."""
        attention = {layer: self.of(layer, "attention") for layer in LAYERS}
        power = {layer: f"HW^{exponent.exponent:.2f}" for layer, exponent in attention.items()}
        share = attention["SA"].values[-1] / attention[_STRIDED].values[-1]
        return (
            f"Multiply-adds of attention: SA grows as {power['SA']}, WSA as {power['WSA']}. GAPL grows as "
            f"{power[_ANCHORED]} while the number of anchors H_d W_d is fixed, which Table II assumes. With d = 8 "
            f"fixed, as the network runs, there are HW/d^2 anchors and it grows as {power[_STRIDED]}: 1/{share:.0f} of "
            "SA (2/d^2, for it attends twice) at every size, and not linear."
        )


class SelfAttention(nn.Module):
    """SA of Table II: every token attends to every other one (single head, as GAPL has)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.projection = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """B x H x W x C -> the same."""
        q, k, v = self.qkv(x.flatten(1, 2)).chunk(3, dim=-1)  # B x H x W x C -> B x HW x 3C -> 3 times B x HW x C
        weights = similarity(q, k, WIDTH**-0.5).softmax(-1)  # B x HW x HW
        out: Tensor = self.projection(weights @ v)
        return out.view_as(x)


def window_attention() -> nn.Module:
    """WSA of Table II: tokens attend within windows of 16 x 16; B x H x W x C -> the same."""
    qkv = nn.Linear(WIDTH, 3 * WIDTH)
    return nn.Sequential(qkv, WindowSelfAttention(ModelConfig(channels=WIDTH), shifted=False))


class AnchorPrompting(nn.Module):
    """GAPL of Table II, with one anchor for d x d tokens."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.layer = GlobalAnchorPromptingLayer(ModelConfig(channels=WIDTH, anchor_stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        """B x H x W x C -> the same."""
        out: Tensor = self.layer(x, None).features
        return out


_ANCHORED, _STRIDED = "GAPL, 16 x 16 anchors", "GAPL, d = 8"
_LAYERS: dict[str, tuple[Callable[[int], nn.Module], float]] = {
    "SA": (lambda _side: SelfAttention(), 2),
    "WSA": (lambda _side: window_attention(), 1),
    _ANCHORED: (lambda side: AnchorPrompting(side // 16), 1),
    _STRIDED: (lambda _side: AnchorPrompting(8), 2),
}
LAYERS = tuple(_LAYERS)
"""GAPL twice: with H_d W_d fixed, as Table II has it, and with d fixed, as the network runs."""


def measure_scaling(sides: Sequence[int] = SIDES, timed: bool = True) -> Generator[str, None, Scaling]:
    """Measure every layer on square images of these sides; yield the name of the layer measured next.

    Args:
        sides: different multiples of 32, at least three, from the smallest to the largest.
        timed: also measure seconds, where the layer needs at most 1 GiB.
    """
    exponents = []
    for name, (build, power) in _LAYERS.items():
        yield name
        costs = {side: _count(build(side), side) for side in sides}
        for quantity in ("attention", "multiply_adds", "maps", "memory"):
            expected = power if quantity in ("attention", "maps") else None
            exponents.append(_fit(name, quantity, expected, {side: costs[side][quantity] for side in sides}))
        fitting = [side for side in sides if costs[side]["memory"] <= _TIMED_BYTES]
        if timed and len(fitting) >= 3:
            seconds = {side: _seconds(build(side), side) for side in fitting}
            exponents.append(_fit(name, "seconds", None, seconds))
    return Scaling(tuple(exponents))


def _count(layer: nn.Module, side: int) -> dict[str, float]:
    """Return exact costs by shapes alone, on the explicit path, which stores its maps as Table II assumes."""
    layer = layer.to("meta").eval()
    flops, memory = FlopCounterMode(display=False), _Memory()
    image = torch.empty(1, side, side, WIDTH, device="meta")
    with torch.no_grad(), explicit_attention(layer), flops, memory:
        layer(image)
    products = flops.get_flop_counts()["Global"].get(torch.ops.aten.bmm, 0)  # linear layers are mm and addmm
    return {
        "attention": products // 2,
        "multiply_adds": flops.get_total_flops() // 2,
        "maps": memory.maps,
        "memory": memory.peak,
    }


class _Memory(TorchDispatchMode):
    """Count the bytes allocated within its context: the most alive at once, and all outputs of a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = self.alive = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._known.update(storage._cdata for storage in _storages((args, kwargs)))  # weights and the input are given
        result = function(*args, **(kwargs or {}))
        for storage in _storages(result):
            self._meet(storage)
        if function is torch.ops.aten._softmax.default:
            self.maps += result.nbytes
        return result

    def _meet(self, storage: torch.UntypedStorage) -> None:
        """Count a storage, which views share, until it is freed."""
        key, size = storage._cdata, storage.nbytes()
        if key not in self._known:
            self._known.add(key)
            self.alive += size
            self.peak = max(self.peak, self.alive)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.alive -= size


def _storages(tree: Any) -> list[torch.UntypedStorage]:
    return [leaf.untyped_storage() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


@torch.inference_mode()
def _seconds(layer: nn.Module, side: int) -> float:
    """Return the seconds of the fastest of some explicit forward passes: others only add what else the machine does."""
    image = torch.rand(1, side, side, WIDTH)
    best = float("inf")
    with explicit_attention(layer.eval()):
        for _ in range(1 + _REPEATS):
            start = time.perf_counter()
            layer(image)
            best = min(best, time.perf_counter() - start)
    return best


def _fit(layer: str, quantity: str, expected: float | None, costs: dict[int, float]) -> Exponent:
    tokens = tuple(side**2 for side in costs)
    line = linregress(np.log(tokens), np.log(list(costs.values())))
    values = tuple(float(value) for value in costs.values())
    return Exponent(layer, quantity, expected, float(line.slope), float(line.stderr), tokens, values)
