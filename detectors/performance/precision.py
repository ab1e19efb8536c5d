"""Precision."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import FP, TP


def precision(outcome: OutcomeCounts) -> float:
    """Share of positive predictions that were labelled positive, 0 to 1; nan without labelled positive predictions.

    >>> import numpy as np
    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[TP], cells[FP] = 3, 1
    >>> precision(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    right, wrong = int(outcome.cells[TP]), int(outcome.cells[FP])
    return right / (right + wrong) if right + wrong else float("nan")
