"""F1 before labels come."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.performance.estimates import Expected, Reading, estimate, estimate_interval, estimate_noise
from detectors.performance.intervals import Ends


def estimated_f1(window: ColumnCounts, reference: ColumnCounts) -> float:
    """The harmonic mean of precision and recall to expect.

    0 to 1. Of the column `score` of a binary model, calibrated by the reference's labels (estimates.py, with the
    error). nan without a score, or with one outside 0 to 1.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> layout = NumericLayout(edges=(0.0, 0.2, 0.6, 1.0))
    >>> scores = ColumnCounts(layout=layout, rows=4, counts=np.array([0, 2, 0, 2, 0]), other=np.zeros(0, np.int64),
    ...     missing=0, nonfinite=0, unparseable=0, sum=0.0, low=0.0, high=1.0)
    >>> round(estimated_f1(scores, scores), 6)  # 2 * 0.8 / (1 + 0.9)
    0.842105
    """
    return estimate(window, reference, _read)


def estimated_f1_noise(reference: ColumnCounts, rows: float, p: float) -> Ends:
    """Normal on the scale of logits, the reference's own noise counted."""
    return estimate_noise(reference, rows, p, _read)


def estimated_f1_interval(window: ColumnCounts, reference: ColumnCounts, p: float) -> Ends:
    """Where the labels will put it, the calibration's error counted."""
    return estimate_interval(window, reference, p, _read)


def _read(of: Expected) -> Reading:
    share = math.fsum((of.weights * (of.claimed + of.positive)).tolist())
    if not share > 0:
        return Reading(math.nan, of.claimed, of.claimed)
    value = 2 * math.fsum((of.weights * of.claimed * of.positive).tolist()) / share
    influence = (2 * of.claimed * of.positive - value * (of.claimed + of.positive)) / share
    return Reading(value, influence, (2 * of.claimed - value) / share)
