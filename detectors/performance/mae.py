"""Mean absolute error."""

from __future__ import annotations

import math

from scipy.special import ndtri

from detectors.counts import OutcomeCounts
from detectors.layouts import ABSOLUTE_ERROR, LABELS, SQUARED_ERROR


def mae(outcome: OutcomeCounts) -> float:
    """Mean of |prediction - label|, in the label's units, from an exact sum; nan without labels.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[LABELS], cells[ABSOLUTE_ERROR:ABSOLUTE_ERROR + LIMBS] = 2, float_to_limbs([3.0, 5.0])
    >>> mae(OutcomeCounts(rows=2, cells=cells))
    4.0
    """
    labels = int(outcome.cells[LABELS])
    return outcome.total(ABSOLUTE_ERROR) / labels if labels else float("nan")


def mae_noise(reference: OutcomeCounts, labels: float, p: float) -> tuple[float, float]:
    """Normal, with the reference's variance of the absolute error, its own noise counted."""
    m = int(reference.cells[LABELS])
    if labels <= 0 or m == 0:
        return 0.0, float("inf")
    centre = mae(reference)
    variance = max(0.0, reference.total(SQUARED_ERROR) / m - centre * centre)
    reach = float(-ndtri(p)) * math.sqrt(variance * (1 / labels + 1 / m))
    return max(0.0, centre - reach), centre + reach
