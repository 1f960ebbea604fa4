"""Confidence of a mean over a few samples."""

import numpy as np
import scipy

_RESAMPLES = 10_000


def bootstrap_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a mean by the percentile bootstrap; NaN for less than two values.

    Values that belong together, such as those of one image, are averaged before.
    """
    if len(values) < 2:
        return float("nan"), float("nan")
    found = scipy.stats.bootstrap((values,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=seed)
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
