"""F1 score."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, FP, LABELS, TP
from detectors.performance.intervals import Ends, wilson
from detectors.quality.rates import rate_noise


def f1(outcome: OutcomeCounts) -> float:
    """Harmonic mean of precision and recall, 0 to 1; nan when there is no positive, neither predicted nor labelled.

    >>> import numpy as np
    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[TP], cells[FP], cells[FN] = 3, 1, 1
    >>> f1(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    right, wrong = 2 * int(outcome.cells[TP]), int(outcome.cells[FP]) + int(outcome.cells[FN])
    return right / (right + wrong) if right + wrong else float("nan")


def f1_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """F1 = 2 J / (1 + J), where J is the share of true positives among TP + FP + FN, which is binomial."""
    right, m = int(reference.cells[TP]), int(reference.cells[LABELS])
    of = right + int(reference.cells[FP]) + int(reference.cells[FN])
    low, high = rate_noise(right, of, labels * of / m, p) if m else (0.0, 1.0)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def f1_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Wilson's, of the same share."""
    right = int(outcome.cells[TP])
    low, high = wilson(right, right + int(outcome.cells[FP]) + int(outcome.cells[FN]), p)
    return 2 * low / (1 + low), 2 * high / (1 + high)
