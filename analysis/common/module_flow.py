"""Inputs and outputs of modules of a network, recorded or held; values inside a module: `promptsr.model.taps`."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from torch import Tensor, nn


class Flow(NamedTuple):
    """One call of a module."""

    inputs: tuple[Any, ...]
    output: Any


@contextmanager
def record_modules(network: nn.Module, paths: Mapping[str, str]) -> Iterator[dict[str, Flow]]:
    """Collect the latest call of modules within the context.

    Args:
        network: holds the modules.
        paths: key -> path of a module, as for `get_submodule`.

    Yields:
        A dictionary from key to `Flow`. The hooks are removed when the context ends.
    """
    seen: dict[str, Flow] = {}
    with ExitStack() as stack:
        for key, path in paths.items():
            handle = network.get_submodule(path).register_forward_hook(
                lambda _module, inputs, output, key=key: seen.update({key: Flow(inputs, output)})
            )
            stack.callback(handle.remove)
        yield seen


@contextmanager
def hold_outputs(network: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Within the context, modules return these values whatever enters them.

    Args:
        network: holds the modules.
        values: path of a module, such as that of a tap -> what it returns.
    """
    with ExitStack() as stack:
        for path, value in values.items():
            handle = network.get_submodule(path).register_forward_hook(
                lambda _module, _inputs, _output, held=value: held
            )
            stack.callback(handle.remove)
        yield
