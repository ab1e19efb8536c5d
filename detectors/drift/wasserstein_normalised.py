"""Wasserstein-1 distance in standard deviations of the reference."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.moments import spread
from detectors.drift.wasserstein import wasserstein, wasserstein_noise


def wasserstein_normalised(window: ColumnCounts, reference: ColumnCounts) -> float:
    """`wasserstein` over the reference's standard deviation: 1 is a shift by one deviation, whatever the column's unit.

    The deviation is read from the bins (moments.py), off by at most e, the root of the sum of share x width^2, and the
    distance by at most d (wasserstein.py): the quotient lies between (W - d) / (s + e) and (W + d) / (s - e) of the raw
    W and s. Not symmetric. nan without a valid value on either side, or when the reference has one value only.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> def even(a, edges=(0., 1.)):  # 1,000 values spread evenly over [a, a + 1]
    ...     bins = (0, 1000, 0) if a == 0 else (0, 0, 1000)
    ...     return ColumnCounts(
    ...         layout=NumericLayout(edges=edges), rows=1000, counts=np.array(bins), other=np.zeros(0, np.int64),
    ...         missing=0, nonfinite=0, unparseable=0, sum=1000 * (a + 0.5), low=a, high=a + 1.0)
    >>> round(wasserstein_normalised(even(1), even(0)), 4)  # the square root of 12
    3.4641
    """
    deviation = spread(reference).deviation
    return wasserstein(window, reference) / deviation if deviation > 0 else float("nan")


def wasserstein_normalised_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """As `wasserstein_noise`, in deviations of the reference."""
    deviation = spread(reference).deviation
    return -math.inf, wasserstein_noise(reference, rows, p)[1] / deviation if deviation > 0 else math.inf
