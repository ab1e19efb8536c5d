"""Coefficient of determination."""

from __future__ import annotations

import math

from detectors.counts import OutcomeCounts
from detectors.layouts import LABEL_SQUARE, LABEL_VALUE, LABELS, SQUARED_ERROR
from detectors.performance.errors import squared_error_scatter
from detectors.performance.intervals import Ends, normal_ends

NORMAL: float = 2.0  # variance of a squared normal deviation, over its squared mean
GREATEST: float = 1e150  # of the labels whose squares are counted in full


def r2(outcome: OutcomeCounts) -> float:
    """1 - sum of (prediction - label)^2 / sum of (label - mean label)^2, from exact sums.

    1 is a perfect model, 0 one that is no better than the mean label of the window, below 0 it is worse. nan without
    labels, where all labels are the same, or with one beyond 1e150, whose square is not counted in full.

    >>> import numpy as np
    >>> from detectors.counts import float_to_limbs
    >>> from detectors.layouts import LIMBS, LABEL_CELLS
    >>> cells = np.zeros(LABEL_CELLS, np.int64)  # labels 1e9 + 1 and 1e9 + 3, predicted 1e9 + 2 and 1e9 + 3
    >>> cells[LABELS], cells[SQUARED_ERROR:SQUARED_ERROR + LIMBS] = 2, float_to_limbs([1.0])
    >>> cells[LABEL_VALUE:LABEL_VALUE + LIMBS] = float_to_limbs([1e9 + 1, 1e9 + 3])
    >>> cells[LABEL_SQUARE:LABEL_SQUARE + LIMBS] = float_to_limbs([1e18, 2e9, 1, 1e18, 6e9, 9])
    >>> r2(OutcomeCounts(rows=2, cells=cells))
    0.5
    """
    labels = int(outcome.cells[LABELS])
    spread = labels * (outcome.exact(LABEL_SQUARE) << 1074) - outcome.exact(LABEL_VALUE) ** 2  # in units of 2**-2148
    if spread <= 0 or outcome.total(LABEL_SQUARE) >= GREATEST**2:
        return float("nan")
    try:
        return 1.0 - labels * (outcome.exact(SQUARED_ERROR) << 1074) / spread
    except OverflowError:
        return float("nan")


def r2_noise(reference: OutcomeCounts, labels: float, p: float) -> Ends:
    """Normal on the scale of log(1 - R2), the reference's own noise counted; see `_variance`."""
    m = int(reference.cells[LABELS])
    if not m or labels <= 0:
        return -math.inf, 1.0
    return _ends(r2(reference), _variance(reference) * (1 / labels + 1 / m), p)


def r2_interval(outcome: OutcomeCounts, p: float) -> Ends:
    """Normal on the scale of log(1 - R2), with the window's own variance."""
    labels = int(outcome.cells[LABELS])
    return _ends(r2(outcome), _variance(outcome) / labels, p) if labels else (math.nan, math.nan)


def _ends(value: float, variance: float, p: float) -> Ends:
    if not value < 1:
        return value, value
    low, high = normal_ends(math.log(1 - value), variance, p)
    return 1 - math.exp(high) if high < 709 else -math.inf, 1 - math.exp(min(low, 709.0))


def _variance(outcome: OutcomeCounts) -> float:
    """Variance of one event's part in log(1 - R2).

    By the delta method, for labels that are normal: too small for labels with heavy tails, which fourth powers would
    have to tell. Nor is it counted how far the errors move the labels' spread along with their own: not at all where
    they belong to the prediction; where they belong to the label (prediction + error) the ends are up to 1 / sqrt(R2)
    too far out, as its variance is 4 R2 then (Olkin and Finn 1995, Psychological Bulletin 118).
    """
    if not math.isfinite(r2(outcome)) or not outcome.exact(SQUARED_ERROR):
        return 0.0
    return (squared_error_scatter(outcome) or NORMAL) + NORMAL
