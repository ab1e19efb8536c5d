"""How far the mean has moved."""

from __future__ import annotations

import math

import numpy as np
import scipy

from detectors.counts import ColumnCounts
from detectors.drift.few_rows import cumulants
from detectors.drift.moments import mean, spread
from detectors.tails import student_tail


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
    """Student's t test, two-sided, with deviations read from the bins (moments.py), skewness and kurtosis allowed for.

    Both samples' moments are pooled: what is asked is whether anything has changed, and few rows of a rare or far-out
    value look as if they did not vary. Never less than Student's: see `student_tail`. nan with fewer than 2 rows on
    either side, or where nothing varies.
    """
    shift = mean_shift(window, reference)
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if math.isnan(shift) or n < 2 or m < 2:
        return math.nan
    a, b = spread(window), spread(reference)
    unit = max(a.deviation, b.deviation)  # powers of large values would leave the doubles
    if shift == 0 or unit == 0:
        return 1.0 if shift == 0 else math.nan
    c, d = a.deviation / unit, b.deviation / unit
    pooled = math.sqrt((n * c**2 + m * d**2) / (n + m - 2))
    skewness = (n * a.skewness * c**3 + m * b.skewness * d**3) / (n + m) / pooled**3
    kurtosis = (n * a.kurtosis * c**4 + m * b.kurtosis * d**4) / (n + m) / pooled**4
    t = shift / unit / (pooled * math.sqrt(1 / n + 1 / m))
    third, fourth = cumulants(skewness, kurtosis, n, m)
    return float(student_tail(np.array(t), float(n + m - 2), third, fourth))


def mean_shift_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Normal, with the reference's deviation, its own noise counted; a long tail needs more rows to become normal."""
    m, deviation = int(reference.counts.sum()), spread(reference).deviation
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    reach = -float(scipy.special.ndtri(p)) * deviation * math.sqrt(1 / rows + 1 / m)
    return -reach, reach
