"""Recall."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, TP


def recall(outcome: OutcomeCounts) -> float:
    """Share of events labelled positive that were predicted so, 0 to 1; nan without positive labels.

    >>> import numpy as np
    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[TP], cells[FN] = 3, 1
    >>> recall(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    found, overlooked = int(outcome.cells[TP]), int(outcome.cells[FN])
    return found / (found + overlooked) if found + overlooked else float("nan")
