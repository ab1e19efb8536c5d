"""Accuracy."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import CORRECT, LABELS
from detectors.performance.intervals import Ends, wilson
from detectors.quality.rates import rate_noise


def accuracy(outcome: OutcomeCounts) -> float:
    """Share of labelled predictions that were right, 0 to 1; nan without labels.

    >>> import numpy as np
    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[LABELS], cells[CORRECT] = 8, 6
    >>> accuracy(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    labels = int(outcome.cells[LABELS])
    return int(outcome.cells[CORRECT]) / labels if labels else float("nan")


def accuracy_noise(reference: OutcomeCounts, labels: float, p: float) -> tuple[float, float]:
    """Binomial, the reference's own noise counted."""
    return rate_noise(int(reference.cells[CORRECT]), int(reference.cells[LABELS]), labels, p)


def accuracy_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Wilson's."""
    return wilson(int(outcome.cells[CORRECT]), int(outcome.cells[LABELS]), p)
