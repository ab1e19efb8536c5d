"""Energy distance."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts, Integers
from detectors.drift.few_rows import of_few_rows
from detectors.drift.functions import Floats, gap, on_edges, points, squared_area
from detectors.drift.quadratic_forms import Sums, quantile, tail


def energy(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Root of twice the integral of the squared difference of the distribution functions; root of the column's unit.

    Symmetric; its square is 2 E|X - Y| - E|X - X'| - E|Y - Y'|. The functions are exact at the bin edges and taken as
    straight between them, in the open first and last bin up to the least and greatest value seen; the error of the
    square is at most twice the sum over bins of width x share x (2 |difference| + share) (functions.py). Of values
    that lie on their bins' edges, as whole numbers may, it is exact: that they do is known from their sum. Missing
    values are not drift here: missing_rate. nan without a valid value on either side, or when no double says how far
    values are apart.
    Szekely and Rizzo 2013, J. Statist. Plann. Inference 143.

    >>> from detectors.layouts import NumericLayout
    >>> def even(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0., 1., 2.)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=2.)
    >>> round(energy(even(0, 5, 0, 0), even(0, 0, 5, 0)) ** 2, 6)  # uniform on [0, 1] against [1, 2]: 2 (1/3 + 1/3)
    1.333333
    """
    g = gap(window, reference)
    if g is None:
        return math.nan
    at = points(window.layout, min(window.low, reference.low), max(window.high, reference.high))
    if not math.isfinite(float(at[-1]) - float(at[0])):
        return math.nan
    return math.sqrt(2 * squared_area(g, np.diff(at), steps=on_edges(window, reference)))


def energy_p_value(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Asymptotic probability of so great a distance without change, both samples being one.

    Made greater by what few rows of a rare or far-out value add (few_rows.py).
    """
    value = energy(window, reference)
    if math.isnan(value):
        return math.nan
    n, m = int(window.counts.sum()), int(reference.counts.sum())
    low, high = min(window.low, reference.low), max(window.high, reference.high)
    at = points(window.layout, low, high)
    steps = on_edges(window, reference)
    sums = _weights(window.counts + reference.counts, at, steps)
    if sums is None:
        return 1.0
    p = tail(sums, (value / _unit(at)) ** 2 * n * m / (n + m))
    scale = float(at[-1]) - float(at[0])
    left, right = at[:-1] / scale, at[:-1] / scale if steps else at[1:] / scale
    return of_few_rows(p, (left + right) / 2, window.counts, reference.counts)


def energy_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: a sum of weighted chi-squares, times 1/n + 1/m."""
    m = int(reference.counts.sum())
    if rows <= 0 or m == 0:
        return -math.inf, math.inf
    at = points(reference.layout, reference.low, reference.high)
    if not math.isfinite(float(at[-1]) - float(at[0])):
        return -math.inf, math.inf
    sums = _weights(reference.counts, at, on_edges(reference))
    return -math.inf, 0.0 if sums is None else math.sqrt(quantile(sums, p) * (1 / rows + 1 / m)) * _unit(at)


def _weights(counts: Integers, at: Floats, steps: bool) -> Sums | None:
    """Traces of the covariance F(x) (1 - F(y)), x < y, of a Brownian bridge over the column, and of its powers.

    Of a column as long as 1, so that energy is in units of `_unit`. Each is a nested integral, so that running sums do;
    the bins' middles stand for the bins, or their left ends where all values lie there (`steps`).
    """
    share = counts / counts.sum()
    width = np.diff(at)
    scale = float(width.sum())
    if scale <= 0:
        return None
    width = width / scale
    f = np.cumsum(share) - (0 if steps else share / 2)
    at_once = np.maximum(f * (1 - f), 0.0) * width
    first = math.fsum(at_once.tolist())
    lower = np.cumsum(f * f * width) - f * f * width / 2  # integral of F^2 below
    upper = (1 - f) ** 2 * width
    above = np.cumsum(upper[::-1])[::-1] - upper / 2  # integral of (1 - F)^2 above
    second = 2 * math.fsum((upper * lower).tolist())
    third = math.fsum((6 * at_once * lower * above - at_once**3 / 2).tolist())  # all three in one bin: a sixth of 6
    if not third > 1e-300:
        return None
    return Sums(first, second, third)


def _unit(at: Floats) -> float:
    """The energy of a squared area of 1 over a column as long as 1."""
    return math.sqrt(2 * float(at[-1] - at[0]))
