"""G test (likelihood ratio) of two samples, as an effect size."""

from __future__ import annotations

import math

import scipy

from detectors.counts import ColumnCounts
from detectors.drift.chi_square import pooled
from detectors.drift.groups import chi_square_noise


def g_test(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Root of G over the rows of both: 0 for equal shares; near Cramer's V for small shifts; at most sqrt(2 ln 2).

    G = 2 sum O ln(O / E) over the table (window, reference) x groups; G over twice the rows is what the sample a row
    came from and its group tell of each other, in nats. Symmetric given the groups (groups.py), those with fewer than 5
    expected rows put together, which loses what moves within one: never greater than that of the single bins. Both
    samples' noise counts. Missing values are not drift here: missing_rate. nan without a valid value on either side.
    Wilks 1935, Ann. Math. Statist. 6; Sokal and Rohlf 1981, Biometry, chapter 17.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> round(g_test(counts(40, 0), counts(0, 40)) ** 2, 6)  # 2 ln 2
    1.386294
    """
    statistic, _, rows = _test(window, reference)
    return min(math.sqrt(statistic / rows), math.sqrt(2 * math.log(2))) if rows else math.nan


def g_test_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Probability of so great a statistic without change, in groups of both samples together (groups.py).

    1 when only one group is left to compare.
    """
    statistic, df, rows = _test(window, reference, together=True)
    if not rows:
        return math.nan
    return float(scipy.special.chdtrc(df, statistic)) if df else 1.0


def g_test_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """As for Cramer's V, raised for groups with few rows, whose G is greater than chi-square."""
    m, noise = reference.valid, chi_square_noise(reference, rows, p, sparse=0.5)
    most = math.sqrt(2 * math.log(2))
    return -math.inf, min(most, math.sqrt(noise * rows * m) / (rows + m)) if math.isfinite(noise) else most


def _test(window: ColumnCounts, reference: ColumnCounts, *, together: bool = False) -> tuple[float, int, float]:
    """(statistic, degrees of freedom, rows of both; 0 when a side is empty)."""
    w, r, n, m = pooled(window, reference, together=together)
    if n == 0 or m == 0:
        return 0.0, 0, 0.0
    terms = [t for x, of in ((w, n), (r, m)) for t in scipy.special.xlogy(x, x * (n + m) / (of * (w + r))).tolist()]
    return max(0.0, 2 * math.fsum(terms)), len(w) - 1, n + m
