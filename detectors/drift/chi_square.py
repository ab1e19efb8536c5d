"""Chi-square test of two samples, as an effect size."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import scipy

from detectors.counts import ColumnCounts
from detectors.drift.groups import Floats, chi_square_noise, grouped

LEAST_EXPECTED: Final = 5.0  # rows; Cochran 1954: below, the statistic is not chi-square


def chi_square(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Cramer's V of the table (window, reference) x groups: 0 for equal shares, 1 for nothing in common.

    Symmetric given the groups. V = sqrt(statistic / rows of both). Both samples' noise counts: the reference is a
    sample too, and treating it as the truth gives 28-98 % false alarms. For one and the same shift V is greatest when
    both have as many rows, so compare windows of similar size. Groups as in groups.py, those with fewer than 5 expected
    rows put together, which loses what moves within one: never greater than the V of the single bins. Missing values
    are not drift here: missing_rate. nan without a valid value on either side.
    Pearson 1900; Cramer 1946, Mathematical Methods of Statistics.

    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> chi_square(counts(30, 10), counts(10, 30)), round(chi_square_p_value(counts(30, 10), counts(10, 30)), 8)
    (0.5, 7.74e-06)
    """
    statistic, _, rows = _test(window, reference)
    return math.sqrt(statistic / rows) if rows else float("nan")


def chi_square_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Probability of so great a statistic without change, in groups of both samples together (groups.py).

    1 when only one group is left to compare.
    """
    statistic, df, rows = _test(window, reference, together=True)
    if not rows:
        return float("nan")
    return float(scipy.special.chdtrc(df, statistic)) if df else 1.0


def chi_square_value_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Cramer's V of independent rows without change: the root of chi-square over all rows."""
    m, noise = reference.valid, chi_square_noise(reference, rows, p, sparse=0)
    return -math.inf, min(1.0, math.sqrt(noise * rows * m) / (rows + m)) if math.isfinite(noise) else 1.0


def _test(window: ColumnCounts, reference: ColumnCounts, *, together: bool = False) -> tuple[float, int, float]:
    """(statistic, degrees of freedom, rows of both; 0 when a side is empty)."""
    w, r, n, m = pooled(window, reference, together=together)
    if n == 0 or m == 0:
        return 0.0, 0, 0.0
    return statistic_of(w, r, n, m), len(w) - 1, n + m


def statistic_of(w: Floats, r: Floats, n: float, m: float) -> float:
    """Pearson's statistic of groups with n and m rows in all."""
    return math.fsum(((w * m - r * n) ** 2 / (w + r)).tolist()) / (n * m)


def pooled(
    window: ColumnCounts, reference: ColumnCounts, *, together: bool = False
) -> tuple[Floats, Floats, float, float]:
    """Events per group on either side, groups with few rows put together, and the rows of each side."""
    w, r = grouped(window, reference, together=together)
    n, m = float(w.sum()), float(r.sum())
    if n == 0 or m == 0:
        return w, r, n, m
    return *_enough(w, r, min(n, m) / (n + m)), n, m


def _enough(w: Floats, r: Floats, share: float) -> tuple[Floats, Floats]:
    """The groups with those too small put together, and if that is still too small with the least of the others."""
    expected = (w + r) * share
    small = expected < LEAST_EXPECTED
    if not small.any():
        return w, r
    if expected[small].sum() < LEAST_EXPECTED and not small.all():
        small[np.argmin(np.where(small, np.inf, expected))] = True
    return np.append(w[~small], w[small].sum()), np.append(r[~small], r[small].sum())
