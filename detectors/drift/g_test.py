"""G test (likelihood ratio) of two samples, as an effect size."""

from __future__ import annotations

import math

import scipy

from detectors.counts import ColumnCounts
from detectors.drift.chi_square import pooled
from detectors.drift.groups import Floats, chi_square_noise


def g_test(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Root of G over the rows of both: 0 for equal shares; near Cramer's V for small shifts; at most sqrt(2 ln 2).

    G = 2 sum O ln(O / E) over the table (window, reference) x groups; G over twice the rows is what the sample a row
    came from and its group tell of each other, in nats. Symmetric given the groups (groups.py), those with fewer than 5
    expected rows put together, which loses what moves within one: never greater than that of the single bins. Both
    samples' noise counts; of few rows G is greater than chi-square, which the p-value allows for and this value does
    not. Missing values are not drift here: missing_rate. nan without a valid value on either side.
    Wilks 1935, Ann. Math. Statist. 6; Sokal and Rohlf 1981, Biometry, chapter 17.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> round(g_test(counts(40, 0), counts(0, 40)) ** 2, 6)  # 2 ln 2
    1.386294
    """
    w, r, n, m = pooled(window, reference)
    if n == 0 or m == 0:
        return math.nan
    return min(math.sqrt(_statistic(w, r, n, m) / (n + m)), math.sqrt(2 * math.log(2)))


def g_test_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Probability of so great a statistic without change, in groups of both samples together (groups.py).

    Of G over Williams' q, which is nearer to chi-square. 1 when only one group is left to compare.
    """
    w, r, n, m = pooled(window, reference, together=True)
    if n == 0 or m == 0:
        return math.nan
    if len(w) == 1:
        return 1.0
    return float(scipy.special.chdtrc(len(w) - 1, _statistic(w, r, n, m) / williams(w + r, n, m)))


def g_test_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """As for Cramer's V, raised for groups with few rows, whose G is greater than chi-square."""
    m, noise = reference.valid, chi_square_noise(reference, rows, p, sparse=0.5)
    most = math.sqrt(2 * math.log(2))
    return -math.inf, min(most, math.sqrt(noise * rows * m) / (rows + m)) if math.isfinite(noise) else most


def _statistic(w: Floats, r: Floats, n: float, m: float) -> float:
    """G of groups with n and m rows in all."""
    terms = [t for x, of in ((w, n), (r, m)) for t in scipy.special.xlogy(x, x * (n + m) / (of * (w + r))).tolist()]
    return max(0.0, 2 * math.fsum(terms))


def williams(both: Floats, n: float, m: float) -> float:
    """How much greater than chi-square G is on average, for groups with `both` rows of both sides, n and m in all.

    Williams 1976, Biometrika 63.

    >>> import numpy as np
    >>> williams(np.array([40.0, 40.0]), 40.0, 40.0)  # 1 + (2 + 2 - 1) (2 + 2 - 1) / (6 80)
    1.01875
    """
    rows = n + m
    columns = rows * math.fsum((1 / both).tolist()) - 1
    return 1 + (rows / n + rows / m - 1) * columns / (6 * rows * (len(both) - 1))
