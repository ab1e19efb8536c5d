"""Kullback-Leibler divergence."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.groups import Floats, chi_square_noise, grouped, with_new_group


def kullback_leibler(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Sum over groups of p ln(p / q), p the window's share and q the reference's, in nats: 0 for equal shares, no end.

    What it costs to describe the window by the reference; not the same the other way round. Groups and prior as in
    psi.py: half a row per group, spread over the groups like the two samples together. Missing values are not drift
    here: missing_rate. Binning makes it smaller, never greater. nan without a valid value on either side.
    Kullback and Leibler 1951, Ann. Math. Statist. 22.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> kullback_leibler(counts(500, 500), counts(50, 50))
    0.0
    >>> round(kullback_leibler(counts(750_000, 250_000), counts(250_000, 750_000)), 4)  # ln 3 / 2 without the prior
    0.5493
    """
    return _divergence(*grouped(window, reference))


def _divergence(w: Floats, r: Floats) -> float:
    n, m = float(w.sum()), float(r.sum())
    if n == 0 or m == 0:
        return math.nan
    weight = len(w) / 2
    prior = weight * (w + r) / (n + m)
    p, q = (w + prior) / (n + weight), (r + prior) / (m + weight)
    return max(0.0, math.fsum(x * math.log(x / y) for x, y in zip(p.tolist(), q.tolist(), strict=True)))


def kullback_leibler_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Divergence of independent rows without change: half of (1/n + 1/m) chi-square, raised for small groups.

    Nor less than that of rows that the reference has not seen the like of, the others as usual (groups.py).
    """
    plain = chi_square_noise(reference, rows, p, sparse=2) / 2
    groups = with_new_group(reference, rows, p)
    if groups is None:
        return -math.inf, plain
    usual = chi_square_noise(reference, rows, 0.5, sparse=2) / 2 if len(groups[0]) > 2 else 0.0
    return -math.inf, max(plain, usual + _divergence(*groups))
