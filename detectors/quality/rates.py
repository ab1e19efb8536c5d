"""Sampling noise of a share: how far k of n may stray from what the reference says."""

from __future__ import annotations

import math

import scipy


def rate_noise(events: float, of: float, rows: float, p: float) -> tuple[float, float]:
    """The interval that events per row of `rows` independent rows leaves with probability p at each end.

    The reference had `events` in `of` rows: its rate is taken as Laplace's (events + 1) / (of + 2), so that a reference
    without a single one still allows for one, and its own noise counts by shrinking the rows to 1 / (1/n + 1/m).

    >>> low, high = rate_noise(50_000, 100_000, 100_000, 0.025)  # 1/2 +- 1.96 sqrt(1/4 (1/n + 1/m)) and a row
    >>> round(low, 3), round(high, 3)
    (0.496, 0.504)
    """
    if rows <= 0 or of <= 0:
        return 0.0, 1.0
    rate, effective = (events + 1) / (of + 2), 1 / (1 / rows + 1 / of)
    return 1 - _upper(1 - rate, effective, p), _upper(rate, effective, p)


def _upper(rate: float, effective: float, p: float) -> float:
    """Binomial quantile as a share, one row added for the steps of a count."""
    if rate >= 1:
        return 1.0
    quantile = float(scipy.special.bdtrik(1 - p, effective, rate))
    count = quantile if math.isfinite(quantile) and quantile > 0 else 0.0
    return min(1.0, (count + 1) / effective)
