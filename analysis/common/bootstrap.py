"""How sure a mean over a few samples is."""

import numpy as np

_RESAMPLES = 10_000
_CONFIDENCE = 0.95


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean by the percentile bootstrap: n values are drawn n times with replacement, 10 000 times.

    NaN for less than two values. Values that belong together, such as those of one image, are averaged before.
    """
    if len(values) < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(len(values), size=(_RESAMPLES, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - _CONFIDENCE) / 2, (1 + _CONFIDENCE) / 2])
    return float(low), float(high)
