"""The user's own network: `module:function`, a function that builds it."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import nn

from promptsr.support.errors import CheckpointError, UserError
from promptsr.zoo.adapters.probing import describe, estimate_bytes_per_pixel, find_scale, has_gradients
from promptsr.zoo.sr_model import SRModel


def load_function(name: str) -> SRModel:
    """Build a model with a function of a Python module. This runs its code, so name only modules that you trust.

    The module is looked for in the working directory first, then on `sys.path`.

    Args:
        name: `module:function`. The function takes no arguments and returns a `torch.nn.Module` that maps
            B x 3 x H x W in [0, 1], any H and W, to B x 3 x sH x sW; or an `SRModel`. The scale s is found by running
            it on a small image, and compared with the attribute `scale` where that is a whole number.

    Raises:
        CheckpointError: no such module or function, an exception in the user's code (chained), or something else than
            a super-resolution network.
    """
    module_name, _, function_name = name.partition(":")
    with _working_directory_on_path():
        try:
            built = getattr(importlib.import_module(module_name), function_name)()
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code may raise
            raise CheckpointError(
                f"{name} could not be built ({describe(error)}): give a module in this folder or on Python's path, and "
                "a function in it that takes no arguments."
            ) from error
        if not isinstance(built, nn.Module | SRModel):
            raise CheckpointError(
                f"{name} returned a {type(built).__name__}: it must return a torch.nn.Module or an SRModel."
            )
        network = (built.network if isinstance(built, SRModel) else built).eval().requires_grad_(False)
        scale = find_scale(name, network)
    claimed = getattr(built, "scale", None)
    if type(claimed) is int and claimed != scale:
        raise CheckpointError(f"{name} says that its scale is {claimed}, but it enlarges x{scale}: mend one of them.")
    if isinstance(built, SRModel):
        return replace(built, name=name)
    return SRModel(
        name,
        scale,
        network,
        bytes_per_pixel=estimate_bytes_per_pixel(network),
        differentiable=has_gradients(network, 32),
    )


@contextmanager
def _working_directory_on_path() -> Iterator[None]:
    folder = os.getcwd()
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
