"""Mean absolute percentage error."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import LABELS, NONZERO_LABELS, RELATIVE_ERROR, RELATIVE_SQUARE
from detectors.performance.errors import mean_of, variance_of
from detectors.performance.intervals import Ends, gamma_ends


def mape(outcome: OutcomeCounts) -> float:
    """Mean of |prediction - label| / |label| over the labels other than 0, as a share: 0.1 is 10 %; from an exact sum.

    Labels near 0 weigh without bound (`smape` does not). nan without labels other than 0.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)  # 5 for 4, 3 for 2, and 1 for 0
    >>> cells[LABELS], cells[NONZERO_LABELS] = 3, 2
    >>> cells[RELATIVE_ERROR:RELATIVE_ERROR + LIMBS] = float_to_limbs([0.25, 0.5])
    >>> mape(OutcomeCounts(rows=3, cells=cells))
    0.375
    """
    return mean_of(outcome, RELATIVE_ERROR, int(outcome.cells[NONZERO_LABELS]))


def mape_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Gamma, with the reference's variance of the relative error, its own noise counted."""
    m, told = int(reference.cells[NONZERO_LABELS]), int(reference.cells[LABELS])
    if not m or labels <= 0:
        return 0.0, math.inf
    return gamma_ends(mape(reference), _variance(reference) * (told / (labels * m) + 1 / m), p)


def mape_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Gamma, with the window's own variance."""
    labels = int(outcome.cells[NONZERO_LABELS])
    return gamma_ends(mape(outcome), _variance(outcome) / labels, p) if labels else (math.nan, math.nan)


def _variance(outcome: OutcomeCounts) -> float:
    return variance_of(outcome, RELATIVE_ERROR, RELATIVE_SQUARE, int(outcome.cells[NONZERO_LABELS]))
