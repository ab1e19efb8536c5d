"""Do scores promise too much?"""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import OutcomeCounts
from detectors.layouts import NEGATIVE_SCORES, POSITIVE_SCORES, SCORE_BINS
from detectors.performance.intervals import Ends, labels_of, normal_ends


def calibration_bias(outcome: OutcomeCounts) -> float:
    """Mean score less the share of positives over labelled events, -1 to 1; above 0 the scores promise too much.

    For several classes: the greatest probability less the share of right predictions. Scores are known to 1/100: an
    error of at most 0.005. nan without a labelled event that has a score.

    >>> from detectors.layouts import OUTCOME_CELLS
    >>> cells = np.zeros(OUTCOME_CELLS, np.int64)
    >>> cells[POSITIVE_SCORES + 75], cells[NEGATIVE_SCORES + 75] = 1, 1
    >>> round(calibration_bias(OutcomeCounts(rows=2, cells=cells)), 6)
    0.255
    """
    return _moments(outcome)[0]


def calibration_bias_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal, with the variance of score - label, the reference's own noise counted."""
    m = labels_of(reference)
    mean, variance, rows = _moments(reference)
    if not (m and rows and labels > 0):
        return -1.0, 1.0
    low, high = normal_ends(mean, variance * (m / (labels * rows) + 1 / rows), p)
    return max(-1.0, low), min(1.0, high)


def calibration_bias_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Normal, with the window's own variance."""
    mean, variance, rows = _moments(outcome)
    return normal_ends(mean, variance / rows, p) if rows else (math.nan, math.nan)


def _moments(outcome: OutcomeCounts) -> tuple[float, float, int]:
    """Mean and variance of score - label, and the events that have both."""
    positive = outcome.cells[POSITIVE_SCORES : POSITIVE_SCORES + SCORE_BINS]
    negative = outcome.cells[NEGATIVE_SCORES : NEGATIVE_SCORES + SCORE_BINS]
    rows = int(positive.sum() + negative.sum())
    if not rows:
        return math.nan, 0.0, 0
    score = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    mean, square = (
        math.fsum([*(positive * (score - 1) ** k).tolist(), *(negative * score**k).tolist()]) / rows for k in (1, 2)
    )
    return mean, max(0.0, square - mean * mean), rows
