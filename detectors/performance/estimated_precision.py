"""Precision before labels come."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.performance.estimates import Expected, Reading, estimate, estimate_interval, estimate_noise
from detectors.performance.intervals import Ends


def estimated_precision(window: ColumnCounts, reference: ColumnCounts) -> float:
    """The share of predicted positives to expect right.

    0 to 1. Of the column `score` of a binary model, calibrated by the reference's labels (estimates.py, with the
    error). nan without a score predicted positive, or with one outside 0 to 1.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> layout = NumericLayout(edges=(0.0, 0.2, 0.6, 1.0))
    >>> scores = ColumnCounts(layout=layout, rows=4, counts=np.array([0, 2, 0, 2, 0]), other=np.zeros(0, np.int64),
    ...     missing=0, nonfinite=0, unparseable=0, sum=0.0, low=0.0, high=1.0)
    >>> round(estimated_precision(scores, scores), 6)  # 0.8 on average
    0.8
    """
    return estimate(window, reference, _read)


def estimated_precision_noise(reference: ColumnCounts, rows: float, p: float) -> Ends:
    """Normal on the scale of logits, the reference's own noise counted."""
    return estimate_noise(reference, rows, p, _read)


def estimated_precision_interval(window: ColumnCounts, reference: ColumnCounts, p: float) -> Ends:
    """Where the labels will put it, the calibration's error counted."""
    return estimate_interval(window, reference, p, _read)


def _read(of: Expected) -> Reading:
    share = math.fsum((of.weights * of.claimed).tolist())
    if not share > 0:
        return Reading(math.nan, of.claimed, of.claimed)
    value = math.fsum((of.weights * of.claimed * of.positive).tolist()) / share
    return Reading(value, of.claimed * (of.positive - value) / share, of.claimed / share)
