"""LPIPS (Zhang et al. 2018) and DISTS (Ding et al. 2020) by pyiqa, where it and its weights are installed.

It is no requirement of ours: its licence forbids commercial use. `pyiqa.create_metric("lpips")`, called once, downloads
the weights.
"""

import logging
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

_WEIGHTS = {
    "lpips": ("pyiqa/LPIPS_v0.1_alex-df73285e.pth", "checkpoints/alexnet-owt-7be5be79.pth"),
    "dists": ("pyiqa/DISTS_weights-f5e65c96.pth", "checkpoints/vgg16-397923af.pth"),
}
"""Files of each metric in the folder of `torch.hub`, named by their content."""
_SIDE = 32
"""Side of the smallest image that passes their networks."""


def perceptual_scores(sr: Tensor, hr: Tensor, border: int) -> dict[str, float]:
    """Return LPIPS and DISTS of a result, both best at 0; without those that cannot be measured here.

    Nothing is downloaded. NaN for an image with a side below 32 pixels without its border.

    Args:
        sr: 1 x 3 x H x W in [0, 1].
        hr: the same shape.
        border: pixels left out on every side.
    """
    rows, columns = (slice(border, side - border) for side in sr.shape[2:])
    images = [image[..., rows, columns].float() for image in (sr, hr)]
    small = min(images[0].shape[2:]) < _SIDE
    found = {name: _metric(name) for name, files in _WEIGHTS.items() if _installed(files)}
    return {name: float("nan") if small else float(metric(*images)) for name, metric in found.items() if metric}


def _installed(files: tuple[str, ...]) -> bool:
    return find_spec("pyiqa") is not None and all(Path(torch.hub.get_dir(), file).is_file() for file in files)


@lru_cache
def _metric(name: str) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Load a metric; None where the installation is broken, which must not cost the other scores."""
    try:
        metric: Callable[[Tensor, Tensor], Tensor] = import_module("pyiqa").create_metric(name, device="cpu")
    except Exception:
        logging.getLogger(__name__).warning("pyiqa cannot load %s", name, exc_info=True)
        return None
    return metric
