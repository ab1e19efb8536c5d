"""Difference of accuracies."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.counts import OutcomeCounts
from detectors.fairness.gaps import difference
from detectors.performance.accuracy import accuracy


def accuracy_difference(segments: Sequence[OutcomeCounts]) -> float:
    """Greatest less least share of labelled predictions that were right.

    Over the segments of a dimension; 0 to 1. Berk et al. 2021, Sociol. Methods Res. 50 (overall accuracy equality).
    nan unless two segments have such a rate.

    >>> import numpy as np
    >>> from detectors.layouts import CORRECT, FN, FP, LABELS, OUTCOME_CELLS, TN, TP
    >>> def segment(tp, fn, fp, tn):
    ...     cells = np.zeros(OUTCOME_CELLS, np.int64)
    ...     cells[[TP, FN, FP, TN, CORRECT, LABELS]] = tp, fn, fp, tn, tp + tn, tp + fn + fp + tn
    ...     return OutcomeCounts(rows=tp + fn + fp + tn, cells=cells)
    >>> round(accuracy_difference([segment(3, 1, 3, 1), segment(1, 3, 1, 3)]), 4)
    0.0
    """
    return difference(segments, accuracy)
