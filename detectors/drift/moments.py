"""Moments and quantiles of a numeric column, from its exact sum and its bins."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from detectors.counts import ColumnCounts
from detectors.drift.functions import Floats, on_edges, points


class Spread(NamedTuple):
    """The standard deviation, the skewness and the kurtosis (0 and 3 for normal values) as the bins tell them."""

    deviation: float
    skewness: float
    kurtosis: float


def mean(column: ColumnCounts) -> float:
    """Mean of the valid values, from their exact sum; nan without any, or beyond the doubles."""
    rows = int(column.counts.sum())
    value = column.sum / rows if rows else math.nan
    return value if math.isfinite(value) else math.nan


def spread(column: ColumnCounts, like: ColumnCounts | None = None) -> Spread:
    """Values are taken as spread evenly within each bin, the open ones up to the least and the greatest value.

    The error of the deviation is at most the root of the sum of share x width^2 over bins. Whole numbers that lie on
    their bins' edges have none: that they do is known from their exact sum. With `like` the open bins reach at least
    as far as that column's: why: fewer rows reach less far out of the same tail, and would look narrower. (0, 0, 3) for
    one value or none.
    """
    rows = int(column.counts.sum())
    if rows == 0 or not column.high > column.low:
        return Spread(0.0, 0.0, 3.0)
    exact = on_edges(column)
    low, high = column.low, column.high
    if like is not None and not exact:
        low, high = min(low, like.low), max(high, like.high)
    unit = 2.0 if math.isinf(high - low) else 1.0  # the doubles hold half of what is between them
    reach = high / unit - low / unit
    ends = np.clip(points(column.layout, low, high), low, high)
    at = (ends / unit - low / unit) / reach  # 0 to 1: squares of large values would leave the doubles
    left, right = at[:-1], at[:-1] if exact else at[1:]
    share, middle, width = column.counts / rows, (left + right) / 2, right - left
    middle = middle - math.fsum((share * middle).tolist())
    square = width * width / 12
    second = math.fsum((share * (middle**2 + square)).tolist())
    third = math.fsum((share * middle * (middle**2 + 3 * square)).tolist())
    fourth = math.fsum((share * (middle**4 + 6 * middle**2 * square + width**4 / 80)).tolist())
    deviation = reach * math.sqrt(second) * unit
    if not second > 1e-150:
        return Spread(deviation, 0.0, 3.0)
    return Spread(deviation, third / second**1.5, fourth / (second * second))


def quantile(column: ColumnCounts, level: float) -> float:
    """The value that a share `level` of the valid ones lies below, straight within its bin; nan without any.

    Off by at most the width of the bin it lies in.
    """
    if not column.counts.any():
        return math.nan
    left, right, part = _place(column, level)
    return left * (1 - part) + right * part


def width_at(column: ColumnCounts, level: float) -> float:
    """Width of the bin that a quantile lies in; column with values only."""
    left, right, _ = _place(column, level)
    return right - left


def points_of(column: ColumnCounts) -> Floats:
    """The ends of the bins, none beyond the least and the greatest value."""
    return np.clip(points(column.layout, column.low, column.high), column.low, column.high)


def _place(column: ColumnCounts, level: float) -> tuple[float, float, float]:
    """The ends of the bin that a quantile lies in, and how far into it, 0 to 1."""
    ends = points_of(column)
    until = np.cumsum(column.counts)
    wanted = min(max(level, 0.0), 1.0) * int(until[-1])
    i = min(int(np.searchsorted(until, wanted, side="left")), len(until) - 1)
    while column.counts[i] == 0:  # level 0: the first bin with values
        i += 1
    part = (wanted - (int(until[i]) - int(column.counts[i]))) / int(column.counts[i])
    return float(ends[i]), float(ends[i + 1]), part
