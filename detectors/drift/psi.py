"""Population stability index."""

from __future__ import annotations

import math
from functools import lru_cache

from scipy.special import chdtri

from detectors.counts import ColumnCounts
from detectors.drift.groups import degrees_of_freedom, grouped


def psi(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Sum over groups of (p - q) ln(p / q), in nats: 0 for equal shares, without upper bound.

    Symmetric given the groups: deciles of the reference (categories: 20ths), see groups.py. So that an empty group has
    a finite weight, both sides get half a row per group, spread over the groups like the two samples together: the
    weight of Krichevsky and Trofimov's prior, but equal shares stay equal, and a group that nobody is in stays empty.
    Missing values are not drift here: missing_rate. Binning loses what moves within a group. nan without a valid value
    on either side.
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
    """PSI of independent rows without change: (1/n + 1/m) times chi-square with groups - 1 degrees of freedom."""
    return float("-inf"), divergence_noise(degrees_of_freedom(reference), rows, reference.valid, p)


def divergence_noise(df: int, rows: float, reference_rows: float, p: float) -> float:
    """What (1/n + 1/m) chi-square(df) exceeds with probability p; inf when a side is empty."""
    if rows <= 0 or reference_rows <= 0:
        return float("inf")
    return _chi_square_quantile(df, p) * (1 / rows + 1 / reference_rows)


@lru_cache(maxsize=4096)
def _chi_square_quantile(df: int, p: float) -> float:
    return float(chdtri(df, p))
