"""Difference of true positive rates."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.counts import OutcomeCounts
from detectors.fairness.gaps import difference, true_positive_rate


def true_positive_rate_difference(segments: Sequence[OutcomeCounts]) -> float:
    """Greatest less least share of positive labels that were predicted positive.

    Over the segments of a dimension; 0 to 1. 0 is equal opportunity. Hardt, Price and Srebro 2016, NeurIPS. nan
    unless two segments have such a rate.

    >>> import numpy as np
    >>> from detectors.layouts import CORRECT, FN, FP, LABELS, OUTCOME_CELLS, TN, TP
    >>> def segment(tp, fn, fp, tn):
    ...     cells = np.zeros(OUTCOME_CELLS, np.int64)
    ...     cells[[TP, FN, FP, TN, CORRECT, LABELS]] = tp, fn, fp, tn, tp + tn, tp + fn + fp + tn
    ...     return OutcomeCounts(rows=tp + fn + fp + tn, cells=cells)
    >>> round(true_positive_rate_difference([segment(3, 1, 3, 1), segment(1, 3, 1, 3)]), 4)
    0.5
    """
    return difference(segments, true_positive_rate)
