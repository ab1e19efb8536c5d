"""How far the mean has moved."""

from __future__ import annotations

import math

import scipy

from detectors.counts import ColumnCounts
from detectors.drift.moments import mean, spread


def mean_shift(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Mean of the window less mean of the reference, in the column's units; from exact sums, so without binning error.

    Below 0 the values have fallen. Missing values are left out. nan without a valid value on either side, or beyond the
    doubles.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> def one(x):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0.,)), rows=1, counts=np.array([0, 1]),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=x, low=x, high=x)
    >>> mean_shift(one(2.5), one(4.0))
    -1.5
    """
    shift = mean(window) - mean(reference)
    return shift if math.isfinite(shift) else math.nan


def mean_shift_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Welch's t test, two-sided, with deviations read from the bins (moments.py)."""
    shift = mean_shift(window, reference)
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if math.isnan(shift) or n < 2 or m < 2:
        return math.nan
    a, b = spread(window).deviation ** 2 / n, spread(reference).deviation ** 2 / m
    if shift == 0 or not 0 < a + b < math.inf:
        return 1.0 if shift == 0 else math.nan
    df = (a + b) ** 2 / (a * a / (n - 1) + b * b / (m - 1)) if a * a + b * b > 0 else float(n + m - 2)
    return min(1.0, 2 * float(scipy.special.stdtr(df, -abs(shift) / math.sqrt(a + b))))


def mean_shift_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Normal, with the reference's deviation, its own noise counted; a long tail needs more rows to become normal."""
    m, deviation = int(reference.counts.sum()), spread(reference).deviation
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    reach = -float(scipy.special.ndtri(p)) * deviation * math.sqrt(1 / rows + 1 / m)
    return -reach, reach
