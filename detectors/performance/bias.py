"""Mean error."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import ERROR, LABELS, SQUARED_ERROR
from detectors.performance.errors import mean_of, variance_of
from detectors.performance.intervals import Ends, normal_ends, of_reference


def bias(outcome: OutcomeCounts) -> float:
    """Mean of prediction - label, in the label's units, from an exact sum; nan without labels.

    Above 0 the model says too much.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[LABELS], cells[ERROR:ERROR + LIMBS] = 2, float_to_limbs([3.0, -5.0])
    >>> bias(OutcomeCounts(rows=2, cells=cells))
    -1.0
    """
    return mean_of(outcome, ERROR, int(outcome.cells[LABELS]))


def bias_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal, with the reference's variance of the error, its own noise counted."""
    mean, variance = bias(reference), _variance(reference)
    return of_reference(reference, labels, lambda per: normal_ends(mean, variance * per, p), (-math.inf, math.inf))


def bias_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Normal, with the window's own variance."""
    labels = int(outcome.cells[LABELS])
    return normal_ends(bias(outcome), _variance(outcome) / labels, p) if labels else (math.nan, math.nan)


def _variance(outcome: OutcomeCounts) -> float:
    return variance_of(outcome, ERROR, SQUARED_ERROR, int(outcome.cells[LABELS]))
