"""Area under the ROC curve before labels come."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts
from detectors.performance.estimates import Expected, Reading, estimate, estimate_interval, estimate_noise
from detectors.performance.intervals import Ends


def estimated_roc_auc(window: ColumnCounts, reference: ColumnCounts) -> float:
    """The probability to expect that a positive scores higher than a negative, ties one half.

    0 to 1. Of the column `score` of a binary model, calibrated by the reference's labels (estimates.py, with the
    error). Pairs in one cell are ties: off by at most half their share. nan without a score, with one outside 0 to 1,
    or where only one class is expected.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> layout = NumericLayout(edges=(0.0, 0.001, 0.999, 1.0))
    >>> scores = ColumnCounts(layout=layout, rows=4, counts=np.array([0, 2, 0, 2, 0]), other=np.zeros(0, np.int64),
    ...     missing=0, nonfinite=0, unparseable=0, sum=0.0, low=0.0, high=1.0)
    >>> round(estimated_roc_auc(scores, scores), 6)  # 0.9995 * (0.9995 + 0.00025) + 0.0005 * 0.49975
    0.9995
    """
    return estimate(window, reference, _read)


def estimated_roc_auc_noise(reference: ColumnCounts, rows: float, p: float) -> Ends:
    """Normal on the scale of logits, the reference's own noise counted."""
    return estimate_noise(reference, rows, p, _read)


def estimated_roc_auc_interval(window: ColumnCounts, reference: ColumnCounts, p: float) -> Ends:
    """Where the labels will put it, the calibration's error counted."""
    return estimate_interval(window, reference, p, _read)


def _read(of: Expected) -> Reading:
    positive, negative = of.weights * of.positive, of.weights * (1 - of.positive)
    share = math.fsum(positive.tolist())
    if not 0 < share < 1:
        return Reading(math.nan, of.claimed, of.claimed)
    below = (np.cumsum(negative) - negative / 2) / (1 - share)  # negatives that a positive here is above
    above = 1 - (np.cumsum(positive) - positive / 2) / share  # positives that a negative here is below
    value = math.fsum((positive * below).tolist()) / share
    as_positive, as_negative = (below - value) / share, (above - value) / (1 - share)
    influence = of.positive * as_positive + (1 - of.positive) * as_negative
    return Reading(value, influence, as_positive - as_negative)
