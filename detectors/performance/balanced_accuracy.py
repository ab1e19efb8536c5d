"""Balanced accuracy."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import FN, FP, TN, TP
from detectors.performance.intervals import Ends, labels_of, logit_ends


def balanced_accuracy(outcome: OutcomeCounts) -> float:
    """Mean of the shares of positive and of negative labels that were predicted right, 0 to 1; nan without either.

    1/2 is what any constant prediction gives. Brodersen et al. 2010, ICPR.

    >>> import numpy as np
    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[TP], cells[FN], cells[TN] = 1, 1, 8
    >>> balanced_accuracy(OutcomeCounts(rows=10, cells=cells))
    0.75
    """
    tp, fp, fn, tn = (int(outcome.cells[c]) for c in (TP, FP, FN, TN))
    return (tp / (tp + fn) + tn / (tn + fp)) / 2 if tp + fn and tn + fp else math.nan


def balanced_accuracy_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal on the scale of logits, each share binomial, the reference's own noise counted."""
    m = labels_of(reference)
    return _ends(reference, labels / m, p, 1.0) if m and labels > 0 else (0.0, 1.0)


def balanced_accuracy_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """The same with the window's own counts."""
    return (math.nan, math.nan) if math.isnan(balanced_accuracy(outcome)) else _ends(outcome, 1.0, p, 0.0)


def _ends(outcome: OutcomeCounts, ratio: float, p: float, own: float) -> Ends:
    """`ratio`: labels of the sample asked about per label of `outcome`; `own`: 1 adds the noise of `outcome` itself."""
    value = balanced_accuracy(outcome)
    if math.isnan(value):
        return 0.0, 1.0
    tp, fp, fn, tn = (int(outcome.cells[c]) for c in (TP, FP, FN, TN))
    variance, least = 0.0, math.inf
    for right, of in ((tp, tp + fn), (tn, tn + fp)):
        rate = (right + 1) / (of + 2)
        variance += rate * (1 - rate) / 4 * (1 / (ratio * of) + own / of)
        least = min(least, ratio * of)
    return logit_ends(value, variance, p, least)
