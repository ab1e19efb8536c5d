"""Recall."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, LABELS, TP
from detectors.performance.intervals import Ends, wilson
from detectors.quality.rates import rate_noise


def recall(outcome: OutcomeCounts) -> float:
    """Share of events labelled positive that were predicted so, 0 to 1; nan without positive labels.

    >>> import numpy as np
    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[TP], cells[FN] = 3, 1
    >>> recall(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    found, overlooked = int(outcome.cells[TP]), int(outcome.cells[FN])
    return found / (found + overlooked) if found + overlooked else float("nan")


def recall_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Binomial among as many positive labels as the reference has per label, its own noise counted."""
    right, m = int(reference.cells[TP]), int(reference.cells[LABELS])
    of = right + int(reference.cells[FN])
    return rate_noise(right, of, labels * of / m, p) if m else (0.0, 1.0)


def recall_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Wilson's."""
    return wilson(int(outcome.cells[TP]), int(outcome.cells[TP] + outcome.cells[FN]), p)
