"""Comparisons without models, for tests of what is drawn of them."""

import numpy as np
import torch

from analysis.comparison.compare import Comparison, Result


def noise_comparison(height: int = 40, width: int = 60, models: int = 4, scored: bool = True) -> Comparison:
    """HR of noise, and x2 results that differ from it by 16, 8, 4, ... grey levels in the mean."""
    rng = np.random.default_rng(1)
    hr = torch.from_numpy(rng.integers(32, 224, (1, 3, height, width)) / 255).float()
    noise = torch.from_numpy(rng.choice([-1, 1], hr.shape)) / 255
    results = [Result(f"model-{n}", (hr + 2 ** (4 - n) * noise).float(), 0, 0, 9, 0.5) for n in range(models)]
    return Comparison(2, hr[..., ::2, ::2], hr if scored else None, tuple(results))
