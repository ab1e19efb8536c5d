"""Brier score."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import SCORED, SQUARED_SCORE_ERROR


def brier(outcome: OutcomeCounts) -> float:
    """Mean squared difference of score and label (0 or 1) over labelled events with a score, 0 to 1; nan without any.

    Brier 1950, Monthly Weather Review 78.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[SCORED] = 2
    >>> cells[SQUARED_SCORE_ERROR:SQUARED_SCORE_ERROR + LIMBS] = float_to_limbs([0.25, 0.75])
    >>> brier(OutcomeCounts(rows=2, cells=cells))
    0.5
    """
    scored = int(outcome.cells[SCORED])
    return outcome.total(SQUARED_SCORE_ERROR) / scored if scored else float("nan")
