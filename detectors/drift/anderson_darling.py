"""Anderson-Darling distance of two samples."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detectors.counts import ColumnCounts
from detectors.drift.functions import gap
from detectors.drift.quadratic_forms import Sums, quantile, tail

WEIGHTS: Final = Sums(1.0, math.pi**2 / 3 - 3, 10 - math.pi**2)  # of 1 / (j (j + 1))


def anderson_darling(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Cramer-von Mises with each place weighted by 1 / H (1 - H), H the share of all rows below it: sees tails; >= 0.

    Symmetric. Read at the bin edges, where counts are exact, weighted by the rows of the bins on both sides (Scholz
    and Stephens' form for ties): what moves within a bin is not seen, so it can be too small; the statistic of the
    single values is n m / (n + m) times this, to within a few per cent with the bins of a learnt layout. Missing values
    are not drift here: missing_rate. nan without a valid value on either side; 0 where all rows are in one bin.
    Pettitt 1976, Biometrika 63; Scholz and Stephens 1987, J. Amer. Statist. Assoc. 82.

    >>> from detectors.layouts import NumericLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0.,)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> anderson_darling(counts(3, 1), counts(1, 3))  # (1/2)^2 / (1/2 1/2) at the one edge
    1.0
    """
    g = gap(window, reference)
    if g is None:
        return math.nan
    below = np.cumsum(g.both)[:-1]
    inside = (below > 0) & (below < 1 - 1e-12)
    if not inside.any():
        return 0.0
    weight = (g.both[:-1] + g.both[1:])[inside] / 2
    share = below[inside]
    first, last = int(np.argmax(inside)), len(inside) - 1 - int(np.argmax(inside[::-1]))
    weight[0] += g.both[: first + 1].sum() - g.both[first] / 2  # the outer halves of the outer bins count in full
    weight[-1] += g.both[last + 1 :].sum() - g.both[last + 1] / 2
    return math.fsum((g.right[:-1][inside] ** 2 / (share * (1 - share)) * weight).tolist())


def anderson_darling_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Asymptotic probability of so great a distance without change."""
    value = anderson_darling(window, reference)
    if math.isnan(value):
        return math.nan
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    return tail(WEIGHTS, value * n * m / (n + m))


def anderson_darling_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: the limit distribution, times 1/n + 1/m."""
    m = int(reference.counts.sum())
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    return -math.inf, quantile(WEIGHTS, p) * (1 / rows + 1 / m)
