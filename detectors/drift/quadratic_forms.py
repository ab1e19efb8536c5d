"""Sums of weighted chi-squares: what squared distances between two samples follow when nothing has changed.

The square of a distance of distribution functions is, for many rows, distributed as (1/n + 1/m) times the sum over j of
l_j z_j^2, z_j standard normal (Cramer-von Mises, Anderson-Darling, energy). Only the sums of l, l^2 and l^3 are needed
to match three moments by a shifted gamma distribution: Hall 1983, Ann. Probab. 11; Buckley and Eagleson 1988,
Austral. J. Statist. 30. Its tail is right to 5 % at 0.05; far out it is too small, at 1e-6 by a factor of 2
(the quantile by 5 %), see the tests.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import scipy


class Sums(NamedTuple):
    """The sums of the weights, of their squares and of their cubes.

    Why in a unit of their own, weights of about 1 at most: cubes of large ones would leave the doubles.
    """

    first: float
    second: float
    third: float


def tail(sums: Sums, x: float) -> float:
    """Probability that the sum of weighted chi-squares is greater than x; nan where no weight is above 0.

    >>> round(tail(Sums(3.0, 3.0, 3.0), 7.8147), 4)  # three equal weights: chi-square with 3 degrees of freedom
    0.05
    """
    scale, df = _match(sums)
    if math.isnan(scale) or math.isnan(x):
        return math.nan
    at = (x - sums.first) / scale + df
    return float(scipy.special.chdtrc(df, at)) if at > 0 else 1.0


def quantile(sums: Sums, p: float) -> float:
    """What the sum of weighted chi-squares exceeds with probability p; nan where no weight is above 0.

    >>> round(quantile(Sums(3.0, 3.0, 3.0), 0.05), 4)
    7.8147
    """
    scale, df = _match(sums)
    return sums.first + scale * (float(scipy.special.chdtri(df, p)) - df)


def _match(sums: Sums) -> tuple[float, float]:
    """(scale, degrees of freedom) of the chi-square that has the same second and third cumulant."""
    if not (sums.second > 0 and 0 < sums.third < math.inf):
        return math.nan, math.nan
    scale = sums.third / sums.second
    return scale, sums.second / scale / scale
