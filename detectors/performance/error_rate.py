"""Error rate."""

from __future__ import annotations

from detectors.counts import OutcomeCounts
from detectors.layouts import CORRECT, LABELS
from detectors.performance.intervals import Ends, wilson
from detectors.quality.rates import rate_noise


def error_rate(outcome: OutcomeCounts) -> float:
    """Share of labelled predictions that were wrong, 0 to 1; nan without labels.

    >>> import numpy as np
    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[LABELS], cells[CORRECT] = 8, 6
    >>> error_rate(OutcomeCounts(rows=10, cells=cells))
    0.25
    """
    labels = int(outcome.cells[LABELS])
    return (labels - int(outcome.cells[CORRECT])) / labels if labels else float("nan")


def error_rate_noise(reference: OutcomeCounts, labels: float, p: float) -> tuple[float, float]:
    """Binomial, the reference's own noise counted."""
    of = int(reference.cells[LABELS])
    return rate_noise(of - int(reference.cells[CORRECT]), of, labels, p)


def error_rate_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Wilson's."""
    return wilson(int(outcome.cells[LABELS] - outcome.cells[CORRECT]), int(outcome.cells[LABELS]), p)


def error_rate_events(outcome: OutcomeCounts) -> tuple[int, int]:
    """(labels, wrong predictions)."""
    return int(outcome.cells[LABELS]), int(outcome.cells[LABELS] - outcome.cells[CORRECT])
