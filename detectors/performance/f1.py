"""F1 score."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, FP, TP


def f1(outcome: OutcomeCounts) -> float:
    """Harmonic mean of precision and recall, 0 to 1; nan when there is no positive, neither predicted nor labelled.

    >>> import numpy as np
    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[TP], cells[FP], cells[FN] = 3, 1, 1
    >>> f1(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    right, wrong = 2 * int(outcome.cells[TP]), int(outcome.cells[FP]) + int(outcome.cells[FN])
    return right / (right + wrong) if right + wrong else float("nan")
