"""Kolmogorov-Smirnov distance of two samples."""

from __future__ import annotations

import math

import numpy as np
import scipy

from detectors.counts import ColumnCounts


def ks(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Greatest difference between the two distribution functions, 0 to 1; symmetric.

    Read at the bin edges, where the counts are exact: too small by at most the share of the fullest bin, never too
    great. Missing values are not drift here: missing_rate. nan without a valid value on either side.
    Smirnov 1948, Ann. Math. Statist. 19.

    >>> from detectors.layouts import NumericLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0., 1.)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> ks(counts(1, 1, 2), counts(2, 2, 0))
    0.5
    """
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if n == 0 or m == 0:
        return float("nan")
    return float(np.max(np.abs(np.cumsum(window.counts) / n - np.cumsum(reference.counts) / m)))


def ks_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Asymptotic probability of so great a distance without change; conservative, as bins make the distance smaller."""
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    if n == 0 or m == 0:
        return float("nan")
    return float(scipy.special.kolmogorov(math.sqrt(n * m / (n + m)) * ks(window, reference)))


def ks_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: Kolmogorov's distribution."""
    m = reference.valid
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    return -math.inf, min(1.0, float(scipy.special.kolmogi(p)) * math.sqrt(1 / rows + 1 / m))
