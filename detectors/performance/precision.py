"""Precision."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import FP, LABELS, TP
from detectors.performance.intervals import Ends, wilson
from detectors.quality.rates import rate_noise


def precision(outcome: OutcomeCounts) -> float:
    """Share of positive predictions that were labelled positive, 0 to 1; nan without labelled positive predictions.

    >>> import numpy as np
    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[TP], cells[FP] = 3, 1
    >>> precision(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    right, wrong = int(outcome.cells[TP]), int(outcome.cells[FP])
    return right / (right + wrong) if right + wrong else float("nan")


def precision_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Binomial among as many positive predictions as the reference has per label, its own noise counted."""
    right, m = int(reference.cells[TP]), int(reference.cells[LABELS])
    of = right + int(reference.cells[FP])
    return rate_noise(right, of, labels * of / m, p) if m else (0.0, 1.0)


def precision_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Wilson's."""
    return wilson(int(outcome.cells[TP]), int(outcome.cells[TP] + outcome.cells[FP]), p)
