"""Named taps: how analyses read what flows inside a network without changing its forward pass.

with record(network, ["groups.0.*.anchor_prompts"]) as seen:
    network(image)
seen["groups.0.blocks.1.global_prompting.anchor_prompts"]  # B x n x C
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatchcase

from torch import Tensor, nn

from promptsr.support.errors import ConfigError


class Tap(nn.Module):
    """An identity with a name. Whatever passes through it can be recorded, or replaced, by a forward hook."""

    def forward(self, value: Tensor) -> Tensor:
        return value


class MapTap(Tap):
    """A tap on a similarity map or on attention weights.

    Fused attention stores neither. While `explicit` is true, attention computes the map, hands it through this tap and
    takes its softmax here.
    """

    explicit = False

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(dim=-1)


def tap_names(model: nn.Module) -> list[str]:
    """Return the name of every tap of `model`, in forward order of construction."""
    return [name for name, module in model.named_modules() if isinstance(module, Tap)]


@contextmanager
def explicit_attention(model: nn.Module) -> Iterator[None]:
    """Within this context every attention of `model` stores its map."""
    with ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, MapTap):
                _make_explicit(module, stack)
        yield


@contextmanager
def record(model: nn.Module, names: Iterable[str]) -> Iterator[dict[str, Tensor]]:
    """Collect the values at the taps whose names match, for every forward pass within the context.

    Args:
        model: a network with taps.
        names: tap names or shell-style patterns such as `"*.fine_map"`.

    Yields:
        A dictionary from tap name to the value of the latest forward pass, still attached to the autograd graph
        (call the network under `torch.no_grad()` when gradients are of no interest). Attention whose map is asked
        for takes the explicit path; all other stays fused.

    Raises:
        ConfigError: a name that matches no tap.
    """
    available = tap_names(model)
    chosen: list[str] = []
    for pattern in names:
        matches = [name for name in available if fnmatchcase(name, pattern)]
        if not matches:
            kinds = sorted({name.rsplit(".", 1)[-1] for name in available})
            raise ConfigError(f"No tap is called {pattern!r}; the kinds of taps are {', '.join(kinds) or 'none'}.")
        chosen += [name for name in matches if name not in chosen]

    seen: dict[str, Tensor] = {}
    with ExitStack() as stack:
        for name in chosen:
            tap = model.get_submodule(name)
            handle = tap.register_forward_hook(lambda _module, _args, value, name=name: seen.update({name: value}))
            stack.callback(handle.remove)
            if isinstance(tap, MapTap):
                _make_explicit(tap, stack)
        yield seen


def _make_explicit(tap: MapTap, stack: ExitStack) -> None:
    stack.callback(setattr, tap, "explicit", tap.explicit)
    tap.explicit = True
