"""Accuracy before labels come."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.performance.estimates import Expected, Reading, estimate, estimate_interval, estimate_noise
from detectors.performance.intervals import Ends


def estimated_accuracy(window: ColumnCounts, reference: ColumnCounts) -> float:
    """The share of predictions to expect right.

    0 to 1. Of the column `score` of a binary model, calibrated by the reference's labels (estimates.py, with the
    error). nan without a score, or with one outside 0 to 1.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> layout = NumericLayout(edges=(0.0, 0.2, 0.6, 1.0))
    >>> scores = ColumnCounts(layout=layout, rows=4, counts=np.array([0, 2, 0, 2, 0]), other=np.zeros(0, np.int64),
    ...     missing=0, nonfinite=0, unparseable=0, sum=0.0, low=0.0, high=1.0)
    >>> round(estimated_accuracy(scores, scores), 6)  # 0.1 and 0.8 on average: (0.9 + 0.8) / 2
    0.85
    """
    return estimate(window, reference, _read)


def estimated_accuracy_noise(reference: ColumnCounts, rows: float, p: float) -> Ends:
    """Normal on the scale of logits, the reference's own noise counted."""
    return estimate_noise(reference, rows, p, _read)


def estimated_accuracy_interval(window: ColumnCounts, reference: ColumnCounts, p: float) -> Ends:
    """Where the labels will put it, the calibration's error counted."""
    return estimate_interval(window, reference, p, _read)


def _read(of: Expected) -> Reading:
    right = of.claimed * of.positive + (1 - of.claimed) * (1 - of.positive)
    value = math.fsum((of.weights * right).tolist())
    return Reading(value, right - value, 2 * of.claimed - 1)
