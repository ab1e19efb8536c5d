"""Ratio of selection rates."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.counts import OutcomeCounts
from detectors.fairness.gaps import ratio, selection_rate


def selection_rate_ratio(segments: Sequence[OutcomeCounts]) -> float:
    """Least over greatest share of labelled events that were predicted positive.

    Over the segments of a dimension; 0 to 1. 1 is demographic parity; below 0.8 is the four-fifths rule of the US
    Uniform Guidelines on Employee Selection, 1978. nan unless two segments have such a rate.

    >>> import numpy as np
    >>> from detectors.layouts import CORRECT, FN, FP, LABELS, OUTCOME_CELLS, TN, TP
    >>> def segment(tp, fn, fp, tn):
    ...     cells = np.zeros(OUTCOME_CELLS, np.int64)
    ...     cells[[TP, FN, FP, TN, CORRECT, LABELS]] = tp, fn, fp, tn, tp + tn, tp + fn + fp + tn
    ...     return OutcomeCounts(rows=tp + fn + fp + tn, cells=cells)
    >>> round(selection_rate_ratio([segment(3, 1, 3, 1), segment(1, 3, 1, 3)]), 4)
    0.3333
    """
    return ratio(segments, selection_rate)
