"""Symmetric mean absolute percentage error."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import LABELS, SYMMETRIC_ERROR, SYMMETRIC_SQUARE
from detectors.performance.errors import mean_of, variance_of
from detectors.performance.intervals import Ends, gamma_ends, of_reference

MOST: float = 2.0


def smape(outcome: OutcomeCounts) -> float:
    """Mean of 2 |prediction - label| / (|prediction| + |label|), 0 to 2, from an exact sum; nan without labels.

    An event whose prediction and label are both 0 counts as 0. Makridakis 1993, Int. J. Forecasting 9.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)  # 5 for 3, and 1 for 0
    >>> cells[LABELS], cells[SYMMETRIC_ERROR:SYMMETRIC_ERROR + LIMBS] = 2, float_to_limbs([0.5, 2.0])
    >>> smape(OutcomeCounts(rows=2, cells=cells))
    1.25
    """
    return mean_of(outcome, SYMMETRIC_ERROR, int(outcome.cells[LABELS]))


def smape_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Gamma, with the reference's variance, its own noise counted."""
    mean, variance = smape(reference), _variance(reference)
    low, high = of_reference(reference, labels, lambda per: gamma_ends(mean, variance * per, p), (0.0, MOST))
    return low, min(high, MOST)


def smape_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Gamma, with the window's own variance."""
    labels = int(outcome.cells[LABELS])
    if not labels:
        return math.nan, math.nan
    low, high = gamma_ends(smape(outcome), _variance(outcome) / labels, p)
    return low, min(high, MOST)


def _variance(outcome: OutcomeCounts) -> float:
    return variance_of(outcome, SYMMETRIC_ERROR, SYMMETRIC_SQUARE, int(outcome.cells[LABELS]))
