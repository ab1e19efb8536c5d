"""Wasserstein-1 distance in standard deviations of the reference."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts
from detectors.drift.wasserstein import _points, wasserstein, wasserstein_noise


def wasserstein_normalised(window: ColumnCounts, reference: ColumnCounts) -> float:
    """`wasserstein` over the reference's standard deviation: 1 is a shift by one deviation, whatever the column's unit.

    The deviation is read from the bins (values spread evenly within each), so it is as exact as they are narrow: a few
    per cent too great for a long tail. Not symmetric. nan without a valid value on either side, or when the reference
    has one value only.

    >>> from detectors.layouts import NumericLayout
    >>> def even(a, edges=(0., 1.)):  # 1,000 values spread evenly over [a, a + 1]
    ...     bins = (0, 1000, 0) if a == 0 else (0, 0, 1000)
    ...     return ColumnCounts(
    ...         layout=NumericLayout(edges=edges), rows=1000, counts=np.array(bins), other=np.zeros(0, np.int64),
    ...         missing=0, nonfinite=0, unparseable=0, sum=1000 * (a + 0.5), low=a, high=a + 1.0)
    >>> round(wasserstein_normalised(even(1), even(0)), 4)  # the square root of 12
    3.4641
    """
    deviation = _deviation(reference)
    return wasserstein(window, reference) / deviation if deviation > 0 else float("nan")


def wasserstein_normalised_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """As `wasserstein_noise`, in deviations of the reference."""
    deviation = _deviation(reference)
    return -math.inf, wasserstein_noise(reference, rows, p)[1] / deviation if deviation > 0 else math.inf


def _deviation(reference: ColumnCounts) -> float:
    m = int(reference.counts.sum())
    if m == 0:
        return float("nan")
    range_ = reference.high - reference.low
    if range_ == 0 or not math.isfinite(range_):
        return 0.0
    points = np.clip(_points(reference.layout, reference.low, reference.high), reference.low, reference.high)
    at = (points - reference.low) / range_  # 0 to 1: squares of large values would leave the doubles
    share, middle, width = reference.counts / m, (at[:-1] + at[1:]) / 2, np.diff(at)
    mean = math.fsum((share * middle).tolist())
    return range_ * math.sqrt(math.fsum((share * ((middle - mean) ** 2 + width * width / 12)).tolist()))
