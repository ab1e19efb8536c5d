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
    """Student's t test, two-sided, with deviations read from the bins (moments.py).

    Both samples' deviations are pooled: what is asked is whether anything has changed, and few rows of a rare or
    far-out value look as if they did not vary. nan with fewer than 2 rows on either side, or where nothing varies.
    """
    shift = mean_shift(window, reference)
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if math.isnan(shift) or n < 2 or m < 2:
        return math.nan
    a, b = spread(window).deviation, spread(reference).deviation
    unit = max(a, b)  # squares of large values would leave the doubles
    if shift == 0 or unit == 0:
        return 1.0 if shift == 0 else math.nan
    pooled = math.sqrt((n * (a / unit) ** 2 + m * (b / unit) ** 2) / (n + m - 2))
    t = abs(shift) / unit / (pooled * math.sqrt(1 / n + 1 / m))
    return min(1.0, 2 * float(scipy.special.stdtr(n + m - 2, -t)))


def mean_shift_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Normal, with the reference's deviation, its own noise counted; a long tail needs more rows to become normal."""
    m, deviation = int(reference.counts.sum()), spread(reference).deviation
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    reach = -float(scipy.special.ndtri(p)) * deviation * math.sqrt(1 / rows + 1 / m)
    return -reach, reach
