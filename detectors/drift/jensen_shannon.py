"""Jensen-Shannon distance."""

from __future__ import annotations

import math

from detectors.counts import ColumnCounts
from detectors.drift.groups import chi_square_noise, grouped


def jensen_shannon(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Square root of the Jensen-Shannon divergence in bits: 0 for equal shares, 1 for nothing in common.

    Symmetric given the groups: deciles of the reference (categories: 20ths), see groups.py. Empty groups need no prior.
    Missing values are not drift here: missing_rate. Binning loses what moves within a group, so the distance is never
    too great. nan without a valid value on either side.
    Lin 1991, IEEE Trans. Inf. Theory 37; Endres and Schindelin 2003 (the distance).

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> jensen_shannon(counts(5, 5), counts(50, 50)), jensen_shannon(counts(10, 0), counts(0, 90))
    (0.0, 1.0)
    >>> round(jensen_shannon(counts(1, 0), counts(1, 1)) ** 2, 6)  # 1.5 - 0.75 log2(3)
    0.311278
    """
    w, r = grouped(window, reference)
    n, m = w.sum(), r.sum()
    if n == 0 or m == 0:
        return float("nan")
    shares = list(zip((w / n).tolist(), (r / m).tolist(), strict=True))  # no group is empty on both sides
    bits = math.fsum(x * math.log2(2 * x / (p + q)) for p, q in shares for x in (p, q) if x > 0) / 2
    return math.sqrt(min(max(bits, 0.0), 1.0))


def jensen_shannon_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Distance of independent rows without change: the divergence is then an eighth of PSI, in bits."""
    nats = chi_square_noise(reference, rows, p, sparse=2) / 8
    return -math.inf, min(1.0, math.sqrt(nats / math.log(2)))
