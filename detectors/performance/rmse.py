"""Root mean squared error."""

from __future__ import annotations

import math

from scipy.special import gamma

from detectors.counts import OutcomeCounts
from detectors.layouts import ABSOLUTE_ERROR, LABELS, SQUARED_ERROR
from detectors.performance.intervals import Ends, gamma_ends, of_reference


def rmse(outcome: OutcomeCounts) -> float:
    """Root of the mean of (prediction - label)^2, in the label's units, from an exact sum; nan without labels.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[LABELS], cells[SQUARED_ERROR:SQUARED_ERROR + LIMBS] = 2, float_to_limbs([1.0, 49.0])
    >>> rmse(OutcomeCounts(rows=2, cells=cells))
    5.0
    """
    labels = int(outcome.cells[LABELS])
    return math.sqrt(outcome.total(SQUARED_ERROR) / labels) if labels else float("nan")


def rmse_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Root of a gamma variable, the reference's own noise counted; see `_variance`."""
    square, variance = rmse(reference) ** 2, _variance(reference)
    low, high = of_reference(reference, labels, lambda per: gamma_ends(square, variance * per, p), (0.0, math.inf))
    return math.sqrt(low), math.sqrt(high)


def rmse_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Root of a gamma variable, with the window's own variance."""
    labels = int(outcome.cells[LABELS])
    if not labels:
        return math.nan, math.nan
    low, high = gamma_ends(rmse(outcome) ** 2, _variance(outcome) / labels, p)
    return math.sqrt(low), math.sqrt(high)


def _variance(outcome: OutcomeCounts) -> float:
    """Variance of one event's squared error.

    Fourth powers are not counted; the mean absolute error over the root mean square tells the kurtosis, if errors
    follow an exponential power distribution (normal and Laplace among them): right for these, too small for tails that
    are heavier still. Geary 1935, Biometrika 27 (the ratio); Subbotin 1923 (the distribution).
    """
    labels = int(outcome.cells[LABELS])
    square = outcome.total(SQUARED_ERROR) / labels if labels else 0.0
    if not 0 < square < 1e150:
        return 0.0
    ratio = outcome.total(ABSOLUTE_ERROR) / labels / math.sqrt(square)
    low, high = 0.35, 20.0  # powers: from tails far heavier than Laplace's (1) to nearly uniform errors
    for _ in range(50):
        power = (low + high) / 2
        g = [float(gamma(i / power)) for i in (1, 2, 3)]
        low, high = (power, high) if g[1] / math.sqrt(g[0] * g[2]) < ratio else (low, power)
    g = [float(gamma(i / low)) for i in (1, 3, 5)]
    return square * square * max(0.8, g[2] * g[0] / g[1] ** 2 - 1)
