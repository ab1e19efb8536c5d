"""Durations in buckets of about a fifth of their size: four to the doubling, from a microsecond to 25 days.

    bucket 0 | 1     2     3     4     | 5 ...
    below 1  | 1 to 1.25 to 1.5 to 1.75 to 2 us ...

Counts by bucket add, and a quantile of them is right within its bucket: off by at most 25 % of its value.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.layouts import LOG_BUCKETS

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_PARTS: Final = 4  # of a doubling
_GREATEST: Final = 2.0 ** ((LOG_BUCKETS - 1) // _PARTS) - 1.0  # microseconds


def log_bucket(milliseconds: Floats) -> Integers:
    """The bucket of each duration; those below 0 count as 0, those beyond the last bucket in it.

    >>> log_bucket(np.array([-5.0, 0.0, 0.001, 0.005, 0.002, 1e15])).tolist()
    [0, 0, 1, 10, 5, 164]
    """
    micros = np.clip(np.clip(milliseconds, 0.0, _GREATEST) * 1000.0, 0.0, _GREATEST)
    mantissa, exponent = np.frexp(micros)  # micros = mantissa * 2**exponent, mantissa in [1/2, 1)
    part = np.floor((2.0 * mantissa - 1.0) * _PARTS)
    bucket: Integers = np.where(micros < 1.0, 0, 1 + _PARTS * (exponent - 1) + part).astype(np.int64)
    return bucket


def bucket_edges() -> Floats:
    """Where the buckets begin, and where the last one ends, in milliseconds."""
    i = np.arange(LOG_BUCKETS)
    starts = np.ldexp(1.0 + (i % _PARTS) / _PARTS, i // _PARTS)
    return np.concatenate([[0.0], starts]) / 1000.0


def log_quantile(counts: Integers, q: float) -> float:
    """The duration in milliseconds below which a share `q` of the counted ones is, evenly spread within a bucket.

    nan without counts.

    >>> round(log_quantile(np.bincount(log_bucket(np.full(9, 3.0)), minlength=LOG_BUCKETS), 0.5), 2)
    2.82
    """
    total = int(counts.sum())
    if not total:
        return float("nan")
    edges, below = bucket_edges(), np.cumsum(counts)
    i = int(np.searchsorted(below, q * total, side="left"))
    i = max(i, int(np.flatnonzero(counts)[0]))
    inside = (q * total - (int(below[i]) - int(counts[i]))) / int(counts[i])
    return float(edges[i] + inside * (edges[i + 1] - edges[i]))


def quantile_noise(counts: Integers, q: float, rows: float, p: float) -> tuple[float, float]:
    """The interval that the quantile of `rows` more durations leaves with probability p at each end.

    By the rank of a quantile, which is binomial; the noise of the `counts` themselves is counted. A bucket's width is
    added at both ends.
    """
    from detectors.quality.rates import rate_noise

    total = int(counts.sum())
    if not total or rows <= 0:
        return 0.0, float("inf")
    low, high = rate_noise(q * total, total, rows, p)
    least = log_quantile(counts, low) / 1.25 if low > 0 else 0.0
    return least, log_quantile(counts, high) * 1.25 if high < 1 else float("inf")
