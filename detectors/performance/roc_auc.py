"""Area under the ROC curve."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import OutcomeCounts
from detectors.layouts import NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS


def roc_auc(outcome: OutcomeCounts) -> float:
    """Probability that an event labelled positive scores higher than one labelled negative, 0 to 1, ties one half.

    Scores are known to 1/100 only: pairs in the same bin count as ties, so the error is at most half the share of such
    pairs. nan unless both classes have scores. Hanley and McNeil 1982, Radiology 143.

    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[POSITIVE_SCORES + 90] = cells[POSITIVE_SCORES + 10] = cells[NEGATIVE_SCORES + 10] = 1
    >>> roc_auc(OutcomeCounts(rows=3, cells=cells))
    0.75
    """
    positive = outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS].astype(np.float64)
    negative = outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS].astype(np.float64)
    pairs = float(positive.sum() * negative.sum())
    if pairs == 0:
        return float("nan")
    lower = np.cumsum(negative) - negative / 2
    return math.fsum((positive * lower).tolist()) / pairs
