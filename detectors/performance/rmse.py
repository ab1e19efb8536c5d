"""Root mean squared error."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import LABELS, SQUARED_ERROR
from detectors.performance.errors import squared_error_variance
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
    """Root of a gamma variable, the reference's own noise counted; see errors.py."""
    root, variance = rmse(reference), squared_error_variance(reference)
    square = root * root
    low, high = of_reference(reference, labels, lambda per: gamma_ends(square, variance * per, p), (0.0, math.inf))
    return math.sqrt(low), math.sqrt(high)


def rmse_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Root of a gamma variable, with the window's own variance."""
    labels = int(outcome.cells[LABELS])
    if not labels:
        return math.nan, math.nan
    root = rmse(outcome)
    low, high = gamma_ends(root * root, squared_error_variance(outcome) / labels, p)
    return math.sqrt(low), math.sqrt(high)
