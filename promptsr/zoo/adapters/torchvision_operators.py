"""Import torchvision where its compiled operators cannot be loaded.

A torchvision built for CUDA beside a PyTorch for the CPU fails at its import (`operator torchvision::nms does not
exist`), although hardly anything needs its operators: it attaches descriptions to two of them while it loads. They are
declared here, without code, so that the rest of torchvision works.
"""

import importlib
import sys
import threading
import warnings

import torch

from promptsr.support.errors import UserError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_lock = threading.Lock()
_declared: list[torch.library.Library] = []  # operators vanish with the library that declared them


def import_torchvision() -> None:
    """Import torchvision, without its compiled operators if they cannot be loaded; warn about that once.

    Raises:
        ImportError: torchvision is not installed.
        UserError: it is broken in another way.
    """
    with _lock:
        try:
            try:
                importlib.import_module("torchvision")
            except RuntimeError as error:
                if "torchvision::" not in str(error) or _declared:
                    raise
                _declare_operators()
                importlib.import_module("torchvision")
                warnings.warn(
                    "torchvision was built for another PyTorch and came without its compiled operators. Networks work "
                    "that do not call these. To get them, install torchvision from the package index that torch came "
                    "from.",
                    stacklevel=2,
                )
        except RuntimeError as error:
            raise UserError(
                f"torchvision does not fit the installed PyTorch ({error}): install it from the package index that "
                "torch came from."
            ) from error


def _declare_operators() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left behind
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
