"""Mean absolute error."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import ABSOLUTE_ERROR, LABELS, SQUARED_ERROR
from detectors.performance.errors import mean_of, variance_of
from detectors.performance.intervals import Ends, gamma_ends, of_reference


def mae(outcome: OutcomeCounts) -> float:
    """Mean of |prediction - label|, in the label's units, from an exact sum; nan without labels.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[LABELS], cells[ABSOLUTE_ERROR:ABSOLUTE_ERROR + LIMBS] = 2, float_to_limbs([3.0, 5.0])
    >>> mae(OutcomeCounts(rows=2, cells=cells))
    4.0
    """
    return mean_of(outcome, ABSOLUTE_ERROR, int(outcome.cells[LABELS]))


def mae_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Gamma, with the reference's variance of the absolute error, its own noise counted."""
    mean, variance = mae(reference), _variance(reference)
    return of_reference(reference, labels, lambda per: gamma_ends(mean, variance * per, p), (0.0, math.inf))


def mae_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Gamma, with the window's own variance."""
    labels = int(outcome.cells[LABELS])
    return gamma_ends(mae(outcome), _variance(outcome) / labels, p) if labels else (math.nan, math.nan)


def _variance(outcome: OutcomeCounts) -> float:
    return variance_of(outcome, ABSOLUTE_ERROR, SQUARED_ERROR, int(outcome.cells[LABELS]))
