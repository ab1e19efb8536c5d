"""Population stability index."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.groups import chi_square_noise, grouped


def psi(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Sum over groups of (p - q) ln(p / q), in nats: 0 for equal shares, without upper bound.

    Symmetric given the groups: deciles of the reference (categories: 20ths), see groups.py. So that an empty group has
    a finite weight, both sides get half a row per group, spread over the groups like the two samples together: the
    weight of Krichevsky and Trofimov's prior, but equal shares stay equal, and a group that nobody is in stays empty.
    Missing values are not drift here: missing_rate. Binning loses what moves within a group, which but for the prior
    makes it smaller, never greater. nan without a valid value on either side.
    Kullback and Leibler 1951 (the divergence J); Siddiqi 2006, Credit Risk Scorecards (the name and the deciles).

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> psi(counts(500, 500), counts(50, 50))
    0.0
    >>> round(psi(counts(750_000, 250_000), counts(250_000, 750_000)), 4)  # ln 3 without the prior
    1.0986
    """
    w, r = grouped(window, reference)
    n, m = w.sum(), r.sum()
    if n == 0 or m == 0:
        return float("nan")
    weight = len(w) / 2
    prior = weight * (w + r) / (n + m)
    p, q = (w + prior) / (n + weight), (r + prior) / (m + weight)
    return math.fsum((x - y) * math.log(x / y) for x, y in zip(p.tolist(), q.tolist(), strict=True))


def psi_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """PSI of independent rows without change: (1/n + 1/m) chi-square, raised for groups with few rows."""
    return -math.inf, chi_square_noise(reference, rows, p, sparse=2)
