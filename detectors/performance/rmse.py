"""Root mean squared error."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import LABELS, SQUARED_ERROR


def rmse(outcome: OutcomeCounts) -> float:
    """Root of the mean of (prediction - label)^2, in the label's units, from an exact sum; nan without labels.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[LABELS], cells[SQUARED_ERROR:SQUARED_ERROR + LIMBS] = 2, float_to_limbs([1.0, 49.0])
    >>> rmse(OutcomeCounts(rows=2, cells=cells))
    5.0
    """
    labels = int(outcome.cells[LABELS])
    return math.sqrt(outcome.total(SQUARED_ERROR) / labels) if labels else float("nan")
