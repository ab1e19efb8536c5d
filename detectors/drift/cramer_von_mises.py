"""Cramer-von Mises distance of two samples."""

from __future__ import annotations

import math
from typing import Final

from detectors.counts import ColumnCounts
from detectors.drift.functions import gap, squared_area
from detectors.drift.quadratic_forms import Sums, quantile, tail

WEIGHTS: Final = Sums(1 / 6, 1 / 90, 1 / 945)  # of 1 / (pi j)^2


def cramer_von_mises(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Mean over all rows of both of the squared difference of the distribution functions; 0 to 1/3.

    Symmetric. The functions are exact at the bin edges and taken as straight between them; the error is at most the
    sum over bins of share x (2 |difference| + share) x the bin's share of all rows (functions.py). Anderson's T is
    n m / (n + m) times this, plus at most 1/6. Missing values are not drift here: missing_rate. nan without a valid
    value on either side.
    Anderson 1962, Ann. Math. Statist. 33.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0.,)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> round(cramer_von_mises(counts(5, 0), counts(0, 5)), 6)  # nothing in common
    0.333333
    """
    g = gap(window, reference)
    return math.nan if g is None else min(squared_area(g, g.both), 1 / 3)


def cramer_von_mises_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Asymptotic probability of so great a distance without change; conservative, as bins make the distance smaller."""
    value = cramer_von_mises(window, reference)
    if math.isnan(value):
        return math.nan
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    return tail(WEIGHTS, value * n * m / (n + m))


def cramer_von_mises_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: the limit distribution, times 1/n + 1/m."""
    m = int(reference.counts.sum())
    if rows <= 0 or m == 0:
        return -math.inf, 1 / 3
    return -math.inf, min(1 / 3, quantile(WEIGHTS, p) * (1 / rows + 1 / m))
