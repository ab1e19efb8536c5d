"""Share of values outside what the reference has seen."""

from __future__ import annotations

import math
from bisect import bisect_left

import numpy as np
import scipy

from detectors.counts import ColumnCounts
from detectors.layouts import NumericLayout


def out_of_range(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of the valid values below the reference's least or above its greatest, 0 to 1.

    Bins that lie outside as a whole are counted exactly; of the bin that holds the reference's least (greatest) value
    one value is counted when the window's least (greatest) is beyond. So it is never too great, and too small by at
    most the share of these two bins. nan without a valid value on either side.

    >>> from detectors.layouts import NumericLayout
    >>> def counts(*bins, low, high):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0., 1., 2.)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=low, high=high)
    >>> out_of_range(counts(0, 3, 0, 1, low=0.1, high=7.0), counts(0, 2, 2, 0, low=0.1, high=1.9))
    0.25
    """
    assert isinstance(reference.layout, NumericLayout)
    valid = int(window.counts.sum())
    if not valid or not reference.counts.any():
        return float("nan")
    edges = np.array(reference.layout.edges)
    first, last = (int(np.searchsorted(edges, end, side="right")) for end in (reference.low, reference.high))
    below, above = int(window.counts[:first].sum()), int(window.counts[last + 1 :].sum())
    if window.low < reference.low:
        below += int(below == 0)
    if window.high > reference.high:
        above += int(above == 0)
    return (below + above) / valid


def out_of_range_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """As many of n values of any continuous law are beyond the extremes of m with probability p at most.

    Exact: all orders of the n + m values are as likely, and two of the m + 1 gaps that the m leave lie beyond. So k or
    more are as likely there as before the second of the m in a random order, where k + 1 draws hold at most one of
    them: hypergeometric. David and Nagaraja 2003, Order Statistics, 7.2.

    >>> from scipy.stats import betabinom
    >>> one = ColumnCounts(layout=NumericLayout(edges=(0.,)), rows=999, counts=np.array([500, 499]),
    ...     other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=-1., high=1.)
    >>> most = round(out_of_range_noise(one, 1000, 1e-4)[1] * 1000)
    >>> bool(betabinom.sf(most, 1000, 2, 998) <= 1e-4 < betabinom.sf(most - 1, 1000, 2, 998))
    True
    """
    n, m = round(rows), int(reference.counts.sum())
    if n <= 0 or m == 0:
        return -math.inf, 1.0
    most = bisect_left(range(n), True, key=lambda k: _beyond(k + 1, n, m) <= p)
    return -math.inf, most / n


def _beyond(k: int, n: int, m: int) -> float:
    """P(k or more of n are beyond the extremes of m), k at most n."""
    gammaln = scipy.special.gammaln
    of_n = gammaln(n + 1) - gammaln(n - k + 1)
    of_all = gammaln(n + m + 1) - gammaln(n + m - k)
    return math.exp(min(0.0, of_n - of_all + math.log(m * (k + 1) + n - k)))
