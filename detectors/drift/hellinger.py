"""Hellinger distance."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.groups import chi_square_noise, grouped


def hellinger(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Root of half the sum over groups of (sqrt p - sqrt q)^2: 0 for equal shares, 1 for nothing in common.

    Symmetric given the groups: deciles of the reference (categories: 20ths), see groups.py. Empty groups need no
    prior. Missing values are not drift here: missing_rate. Binning loses what moves within a group, so the distance
    is never too great. nan without a valid value on either side.
    Hellinger 1909, J. reine angew. Math. 136.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> round(hellinger(counts(1, 0), counts(1, 1)) ** 2, 6)  # 1 - sqrt(1/2)
    0.292893
    """
    w, r = grouped(window, reference)
    n, m = float(w.sum()), float(r.sum())
    if n == 0 or m == 0:
        return math.nan
    pairs = zip((w / n).tolist(), (r / m).tolist(), strict=True)
    half = math.fsum((math.sqrt(p) - math.sqrt(q)) ** 2 for p, q in pairs) / 2
    return math.sqrt(min(half, 1.0))


def hellinger_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: an eighth of chi-square, raised for groups with few rows.

    An empty group weighs half its share here, four times what it weighs in chi-square over 8: hence sparse = 4.
    """
    return -math.inf, min(1.0, math.sqrt(chi_square_noise(reference, rows, p, sparse=4) / 8))
