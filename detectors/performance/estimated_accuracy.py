"""Accuracy before labels come."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts
from detectors.drift.moments import points_of
from detectors.performance.intervals import Ends, normal_ends


def estimated_accuracy(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Mean of max(score, 1 - score) over the window's scores: the accuracy to expect if scores are calibrated.

    1/2 to 1. Of the column `score` of a binary model, for predictions that are positive from 1/2 on. Needs no labels,
    and sees a loss that shows in the scores only; `ece` says whether scores can be believed. Scores are taken as spread
    evenly within their bin: off by at most half the sum of share x width. Ignores the reference. nan without a score,
    or with one outside 0 to 1.
    Garg et al. 2022, ICLR; NannyML's confidence-based performance estimation (CBPE).

    >>> from detectors.layouts import NumericLayout
    >>> scores = ColumnCounts(layout=NumericLayout(edges=(0.0, 0.2, 1.0)), rows=4, counts=np.array([0, 4, 0, 0]),
    ...     other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0.4, low=0.0, high=0.2)
    >>> round(estimated_accuracy(scores, scores), 6)
    0.9
    """
    return _moments(window)[0]


def estimated_accuracy_noise(reference: ColumnCounts, rows: float, p: float) -> Ends:
    """Normal, with the variance of the expected accuracy in the reference, its own noise counted."""
    m = int(reference.counts.sum())
    mean, variance = _moments(reference)
    if rows <= 0 or m == 0 or math.isnan(mean):
        return 0.0, 1.0
    low, high = normal_ends(mean, variance * (1 / rows + 1 / m), p)
    return max(0.0, low), min(1.0, high)


def _moments(column: ColumnCounts) -> tuple[float, float]:
    """Mean and variance of max(score, 1 - score)."""
    rows = int(column.counts.sum())
    if not rows or column.low < 0 or column.high > 1:
        return math.nan, 0.0
    ends = points_of(column)
    left, right = ends[:-1], ends[1:]
    middle = np.clip(0.5, left, right)  # where the greater of the two changes: a bin around 1/2 has two halves
    whole = np.where(right > left, right - left, 1.0)
    sure = np.where(right > left, 0.0, np.maximum(left, 1 - left))
    lower, upper = (middle - left) / whole, (right - middle) / whole
    each = sure + lower * (1 - (left + middle) / 2) + upper * (right + middle) / 2
    mean = math.fsum((column.counts * each).tolist()) / rows
    return mean, max(0.0, math.fsum((column.counts * (each - mean) ** 2).tolist()) / rows)
