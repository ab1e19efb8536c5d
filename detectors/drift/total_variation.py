"""Total variation distance."""

from __future__ import annotations

import math
from functools import lru_cache

import scipy

from detectors.counts import ColumnCounts
from detectors.drift.groups import grouped
from detectors.drift.l_infinity import greatest_noise


def total_variation(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Half the sum over groups of |p - q|: the share of rows that would have to change group, 0 to 1.

    Symmetric given the groups: deciles of the reference (categories: 20ths), see groups.py. Missing values are not
    drift here: missing_rate. Binning loses what moves within a group, so the distance is never too great. nan without
    a valid value on either side.
    Levin, Peres and Wilmer 2009, Markov Chains and Mixing Times, section 4.1.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> total_variation(counts(3, 1), counts(1, 3))
    0.5
    """
    w, r = grouped(window, reference)
    n, m = float(w.sum()), float(r.sum())
    if n == 0 or m == 0:
        return math.nan
    return min(1.0, math.fsum(abs(p - q) for p, q in zip((w / n).tolist(), (r / m).tolist(), strict=True)) / 2)


def total_variation_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: a gamma variable with the mean and variance of sums of |normal|.

    Never beyond half the root of chi-square, which bounds it by the Cauchy-Schwarz inequality; nor
    less than what the share of the least or the greatest group may differ by, which is not normal where it has few.
    """
    theirs = grouped(reference, reference)[1]
    m = float(theirs.sum())
    if rows <= 0 or m == 0:
        return -math.inf, 1.0
    found = _standard(tuple((theirs / m).tolist()), p) * math.sqrt(1 / rows + 1 / m)
    return -math.inf, min(1.0, max(found, greatest_noise({float(theirs.min()), float(theirs.max())}, m, rows, p / 4)))


@lru_cache(maxsize=4096)
def _standard(shares: tuple[float, ...], p: float) -> float:
    """The quantile at 1/n + 1/m = 1."""
    if len(shares) == 1:
        return math.sqrt(float(scipy.special.chdtri(1, p))) / 2  # one group: what lies outside it is all there is
    sd = [math.sqrt(q * (1 - q)) for q in shares]
    mean = math.fsum(sd) * math.sqrt(2 / math.pi) / 2
    variance = 0.0
    for i, q in enumerate(shares):
        for j, r in enumerate(shares):
            c = 1.0 if i == j else -math.sqrt(q * r / ((1 - q) * (1 - r)))
            c = max(-1.0, c)  # the covariance of two |normal| of correlation c
            variance += sd[i] * sd[j] * 2 / math.pi * (math.sqrt(1 - c * c) + c * math.asin(c) - 1) / 4
    shape = mean * mean / variance
    return min(
        math.sqrt(float(scipy.special.chdtri(len(shares) - 1, p))) / 2,
        variance / mean * float(scipy.special.gammainccinv(shape, p)),
    )
