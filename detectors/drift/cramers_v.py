"""Cramer's V without its bias."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.chi_square import chi_square_p_value, pooled, statistic_of
from detectors.drift.groups import chi_square_noise


def cramers_v(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Cramer's V of the table (window, reference) x groups, less what chance gives it: 0 to 1, 0 for equal shares.

    `chi_square` is the plain V, which is above 0 for any two samples; here the statistic's expectation without change
    is taken off first, so that windows of different sizes compare. Symmetric given the groups (groups.py); what moves
    within one is lost, so that before the expectation is taken off it is never greater than the V of the single bins.
    Missing values are not drift here: missing_rate. nan without a valid value on either side.
    Bergsma 2013, J. Korean Statist. Soc. 42.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> round(cramers_v(counts(30, 10), counts(10, 30)), 6)  # V = 1/2: sqrt((1/4 - 1/79) / (1 - 1/79))
    0.49029
    """
    w, r, n, m = pooled(window, reference)
    if n == 0 or m == 0:
        return math.nan
    rows = n + m
    if rows <= 2:
        return 0.0
    chance = (len(w) - 1) / (rows - 1)
    phi = max(0.0, statistic_of(w, r, n, m) / rows - chance)
    return math.sqrt(min(1.0, phi / (1 - 1 / (rows - 1))))


def cramers_v_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """That of the chi-square test."""
    return chi_square_p_value(window, reference)


def cramers_v_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """V of independent rows without change: chi-square over all rows, less its expectation."""
    m, noise = reference.valid, chi_square_noise(reference, rows, p, sparse=0)
    if not math.isfinite(noise):
        return -math.inf, 1.0
    middle = chi_square_noise(reference, rows, 0.5, sparse=0)  # less than the expectation: on the safe side
    phi = (noise - middle) * rows * m / (rows + m) ** 2
    return -math.inf, math.sqrt(min(1.0, phi / (1 - 1 / max(2.0, rows + m - 1))))
