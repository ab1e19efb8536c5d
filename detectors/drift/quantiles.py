"""What the metrics of quantiles share."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.moments import quantile, width_at
from detectors.quality.rates import rate_noise


def quantile_shift(window: ColumnCounts, reference: ColumnCounts, level: float) -> float:
    """Quantile of the window less that of the reference."""
    shift = quantile(window, level) - quantile(reference, level)
    return shift if math.isfinite(shift) else math.nan


def quantile_noise(reference: ColumnCounts, rows: float, p: float, level: float) -> tuple[float, float]:
    """The window's quantile lies beyond x when more (fewer) of its rows do than the binomial lets them.

    The share of rows below the reference's quantile varies by both samples' noise: the reference's own values at the
    two ends of that share, and half the width of its bin, which the window's may be off by. Where that reaches beyond
    the least or greatest value of the reference, there is no end.
    """
    m = int(reference.counts.sum())
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    low, high = rate_noise(level * m, m, rows, p)
    usual, off = quantile(reference, level), width_at(reference, level) / 2
    below = quantile(reference, low) - usual - off if low > 0 else -math.inf
    above = quantile(reference, high) - usual + off if high < 1 else math.inf
    return min(below, 0.0), max(above, 0.0)
