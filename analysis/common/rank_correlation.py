"""Spearman's rank correlation of two maps."""

import math
import warnings

import numpy as np
from scipy.stats import ConstantInputWarning, spearmanr


def rank_correlation_of_parts(one: np.ndarray, other: np.ndarray) -> float:
    """Return the rank correlation of two maps of one shape over the places where either is not 0.

    Places where both are 0 are left out: a map of a few places would else agree with any other by its zeros alone. NaN
    where a map is constant there, or fewer than three places are left.
    """
    here = (one != 0) | (other != 0)
    if np.count_nonzero(here) < 3:
        return math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(one[here], other[here]).statistic)
