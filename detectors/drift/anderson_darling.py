"""Anderson-Darling distance of two samples."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ColumnCounts
from detectors.drift.few_rows import of_few_rows
from detectors.drift.functions import Floats, gap
from detectors.drift.quadratic_forms import Sums, quantile, tail


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
    at = _places(g.both)
    share = at.below
    return math.fsum((g.right[:-1][at.inside] ** 2 / (share * (1 - share)) * at.weight).tolist())


def anderson_darling_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Asymptotic probability of so great a distance without change, of values as tied as both samples' bins are.

    Made greater by what few rows of a rare value add (few_rows.py).
    """
    value = anderson_darling(window, reference)
    if math.isnan(value):
        return math.nan
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    both = (window.counts + reference.counts) / (n + m)
    sums = _weights(both)
    if sums is None:
        return 1.0
    p = tail(sums, value * n * m / (n + m))
    return of_few_rows(p, _scores(both), window.counts, reference.counts)


def anderson_darling_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: the limit distribution of the reference's ties, times 1/n + 1/m."""
    m = int(reference.counts.sum())
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    sums = _weights(reference.counts / m)
    return -math.inf, 0.0 if sums is None else quantile(sums, p) * (1 / rows + 1 / m)


class _Places(NamedTuple):
    """The edges with rows on both sides."""

    inside: NDArray[np.bool_]
    below: Floats  # share of the rows below
    weight: Floats  # rows that an edge stands for, which add up to 1


def _places(both: Floats) -> _Places:
    below = np.cumsum(both)[:-1]
    inside = (below > 0) & (below < 1 - 1e-12)
    weight = (both[:-1] + both[1:])[inside] / 2
    if len(weight):
        first, last = int(np.argmax(inside)), len(inside) - 1 - int(np.argmax(inside[::-1]))
        weight[0] += both[: first + 1].sum() - both[first] / 2  # the outer halves of the outer bins count in full
        weight[-1] += both[last + 1 :].sum() - both[last + 1] / 2
    return _Places(inside, below[inside], weight)


def _scores(both: Floats) -> Floats:
    """What a row of each bin adds to the sum over edges of what is squared, each by its weight."""
    at = _places(both)
    each = np.zeros(len(both))
    each[:-1][at.inside] = at.weight / np.sqrt(at.below * (1 - at.below))
    return np.cumsum(each) - each


def _weights(both: Floats) -> Sums | None:
    """Traces of the covariance of what is summed, and of its powers; None where all rows are in one bin.

    Two edges with shares s < t below go together by the root of s (1 - t) / t (1 - s), three by that of the outermost,
    so that running sums do. Without ties the eigenvalues are 1 / j (j + 1); one edge alone has chi-square with 1 degree
    of freedom.
    """
    at = _places(both)
    if not len(at.weight):
        return None
    w, odds = at.weight, at.below / (1 - at.below)
    until, low, high = np.cumsum(w), w * odds, w / odds
    lower = np.cumsum(low) - low
    between = (until - w) * lower - (np.cumsum(low * until) - low * until)  # with a third edge inside
    ends = w * lower + np.cumsum(low * w) - low * w  # with the third at either end
    second = 2 * float(high @ lower) + float(w @ w)
    third = 6 * float(high @ between) + 3 * float(high @ ends) + float(w @ w**2)
    return Sums(float(w.sum()), second, third)
