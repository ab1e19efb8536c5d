"""Area under the ROC curve."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from detectors.counts import OutcomeCounts
from detectors.layouts import NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS
from detectors.performance.intervals import Ends, labels_of, logit_ends


def roc_auc(outcome: OutcomeCounts) -> float:
    """Probability that an event labelled positive scores higher than one labelled negative, 0 to 1, ties one half.

    Scores are known to 1/100 only: pairs in the same bin count as ties, so the error is at most half the share of such
    pairs. nan unless both classes have scores. Hanley and McNeil 1982, Radiology 143.

    >>> from detectors.layouts import LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)
    >>> cells[POSITIVE_SCORES + 90] = cells[POSITIVE_SCORES + 10] = cells[NEGATIVE_SCORES + 10] = 1
    >>> roc_auc(OutcomeCounts(rows=3, cells=cells))
    0.75
    """
    positive, negative = _scores(outcome)
    pairs = float(positive.sum() * negative.sum())
    if pairs == 0:
        return float("nan")
    lower = np.cumsum(negative) - negative / 2
    return math.fsum((positive * lower).tolist()) / pairs


def roc_auc_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal on the scale of logits, by the two variances of DeLong, the reference's own noise counted."""
    m = labels_of(reference)
    positive, negative = (float(side.sum()) for side in _scores(reference))
    if not (m and labels > 0 and positive and negative):
        return 0.0, 1.0
    first, second = _variances(reference)
    n, k = labels / m * positive, labels / m * negative
    variance = first * (1 / n + 1 / positive) + second * (1 / k + 1 / negative)
    return logit_ends(roc_auc(reference), variance, p, min(n, k, positive, negative))


def roc_auc_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """DeLong's, on the scale of logits. DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44."""
    positive, negative = (float(side.sum()) for side in _scores(outcome))
    if not (positive and negative):
        return math.nan, math.nan
    first, second = _variances(outcome)
    return logit_ends(roc_auc(outcome), first / positive + second / negative, p, min(positive, negative))


def _scores(outcome: OutcomeCounts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores of the positive and of the negative labels, by bin."""
    return (
        outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS].astype(np.float64),
        outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS].astype(np.float64),
    )


def _variances(outcome: OutcomeCounts) -> tuple[float, float]:
    """Variance over positives of the share of negatives that each beats, and the other way round."""
    positive, negative = _scores(outcome)
    found = []
    for of, below in ((positive, negative), (negative, positive)):
        place = (np.cumsum(below) - below / 2) / below.sum()
        mean, square = (math.fsum((of * place**k).tolist()) / float(of.sum()) for k in (1, 2))
        found.append(max(0.0, square - mean * mean))
    return found[0], found[1]
