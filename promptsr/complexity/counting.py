"""Parameters and multiply-adds of a network: true ones, and as the paper counted them.

The paper's figures are what the counter thop (0.1.1) prints. Its convention leaves out the attention products,
which are most of the work, and the parameters that hang directly on a layer made of layers (position biases, logit
scales). So every figure comes twice:

- `parameters`, `multiply_adds`: all parameters; linear layers, convolutions and attention products. Neither biases
  nor softmax, norms and activations.
- `published_parameters`, `published_multiply_adds`: thop's convention, to compare with printed figures.

Both count the padded input. The network runs on the meta device: no memory, and the same time at any size. One that
looks at values on its way runs on the CPU instead, which takes the time and the memory of an ordinary forward pass.
"""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils.parametrize import type_before_parametrizations
from torch.utils.flop_counter import FlopCounterMode

from promptsr.complexity.thop_convention import RULES
from promptsr.config import ModelConfig
from promptsr.model.cascade import CascadePromptingBlock
from promptsr.model.global_prompting import GlobalAnchorPromptingLayer
from promptsr.model.local_prompting import LocalPromptingLayer
from promptsr.model.network import PromptSR, ResidualGroup
from promptsr.model.taps import explicit_attention
from promptsr.support.errors import ConfigError

# Beyond this the bytes of a similarity map, which grow with the fourth power of a side, no longer fit 64 bits.
_LARGEST_SIDE = 1 << 15


@dataclass(frozen=True)
class LayerCost:
    """The cost of one box of the paper's Fig. 2, or of one child of another network."""

    name: str
    """Path of the module, such as `groups.0.blocks.1.fine_prompting`; empty for the rest, outside of the boxes."""
    kind: str
    """`GAPL`, `LPL`, `WSA` (an LPL without categories), or the last part of the name: `encoder`, `convolution`..."""
    parameters: int
    multiply_adds: int
    published_parameters: int
    published_multiply_adds: int


@dataclass(frozen=True)
class Complexity:
    """The cost of a network for one input; each figure is exactly the sum of that of the layers."""

    parameters: int
    multiply_adds: int
    published_parameters: int
    published_multiply_adds: int
    layers: list[LayerCost]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON: the four figures, and `layers` as a list of dictionaries."""
        return asdict(self)


def count(network: nn.Module | ModelConfig, height: int = 180, width: int = 320) -> Complexity:
    """Count one forward pass for an image of 3 x height x width.

    Similarity maps count once, as in the equations. (Plain torch takes their products a second time to find
    the categories; in exchange it never stores them.)

    Args:
        network: takes B x 3 x H x W; it is left as it is. Or the configuration of a PromptSR.
        height: of the low-resolution input, in pixels; the default is the paper's 180 x 320, 1280 x 720 at x4.
        width: the same.

    Raises:
        ConfigError: an impossible size.
    """
    if not (1 <= height <= _LARGEST_SIDE and 1 <= width <= _LARGEST_SIDE):
        raise ConfigError(f"The input must have 1 to {_LARGEST_SIDE} pixels a side, not {height} x {width}.")
    try:
        return _count(_copy(network, "meta"), "meta", height, width)
    except (NotImplementedError, RuntimeError) as error:  # for example `.tolist()` and `.item()`
        if "meta" not in str(error):
            raise
        return _count(_copy(network, "cpu"), "cpu", height, width)


def _count(network: nn.Module, device: str, height: int, width: int) -> Complexity:
    """Count one forward pass of a private copy of a network that lies on this device."""
    boxes = dict(_boxes(network))
    published: Counter[nn.Module] = Counter()  # multiply-adds, by module that has a rule
    flops: Counter[nn.Module] = Counter()  # two for each multiply-add, by box
    counter = FlopCounterMode(display=False)

    def enter(box: nn.Module, _inputs: Any) -> None:
        flops[box] -= counter.get_total_flops()

    def leave(box: nn.Module, _inputs: Any, _output: Any) -> None:
        flops[box] += counter.get_total_flops()

    def publish(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        published[module] += RULES[type_before_parametrizations(module)](module, inputs[0], output)

    # The counter has figures for each module too, but takes them by hooks on the modules of all threads.
    for box in boxes.values():
        box.register_forward_pre_hook(enter)
        box.register_forward_hook(leave)
    for module in network.modules():
        if type_before_parametrizations(module) in RULES:  # weight normalisation is no kind of layer
            module.register_forward_hook(publish)
    # The counter knows no fused attention on the CPU; torch's plain one consists of products that it counts.
    with torch.no_grad(), explicit_attention(network), sdpa_kernel(SDPBackend.MATH), counter:
        network(torch.zeros(1, 3, height, width, device=device))

    def cost(name: str, module: nn.Module, flops: int) -> LayerCost:
        counted = [part for part in module.modules() if part in published]
        return LayerCost(
            name,
            _kind(name, module),
            _parameters(module),
            flops // 2,
            sum(_parameters(part) for part in counted),
            sum(published[part] for part in counted),
        )

    total = cost("", network, counter.get_total_flops())
    layers = [cost(name, box, flops[box]) for name, box in boxes.items()]
    rest = [whole - sum(parts) for whole, *parts in zip(_figures(total), *map(_figures, layers), strict=True)]
    if any(rest):
        layers.append(LayerCost("", total.kind, *rest))
    return Complexity(*_figures(total), layers)


def _copy(network: nn.Module | ModelConfig, device: str) -> nn.Module:
    """Return a private copy for hooks and switches; on "meta" it has shapes and no values."""
    if isinstance(network, ModelConfig):
        with torch.device(device):
            return PromptSR(network).eval()
    return deepcopy(network).to(device, torch.float32).eval()


def _boxes(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yield the boxes of Fig. 2 by name, in forward order; of a network other than PromptSR, its children."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList | ResidualGroup | CascadePromptingBlock):
            yield from _boxes(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def _kind(name: str, module: nn.Module) -> str:
    if isinstance(module, GlobalAnchorPromptingLayer):
        return "GAPL"
    if isinstance(module, LocalPromptingLayer):
        return "WSA" if module.category_attention is None else "LPL"
    return name.rpartition(".")[-1] or "rest"


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _figures(cost: LayerCost) -> tuple[int, int, int, int]:
    return cost.parameters, cost.multiply_adds, cost.published_parameters, cost.published_multiply_adds
