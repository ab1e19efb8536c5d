"""How many predictions have a label."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import LABELS


def label_coverage(outcome: OutcomeCounts) -> float:
    """Labels over rows of the window; nan without rows.

    A label counts in the window of its own time, so labels of earlier predictions can take it above 1.

    >>> import numpy as np
    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[LABELS] = 6
    >>> label_coverage(OutcomeCounts(rows=8, cells=cells))
    0.75
    """
    return int(outcome.cells[LABELS]) / outcome.rows if outcome.rows else float("nan")
