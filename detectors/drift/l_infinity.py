"""Greatest difference of a share."""

from __future__ import annotations

import math

import numpy as np

from detectors.counts import ColumnCounts
from detectors.drift.groups import Floats, grouped
from detectors.quality.rates import rate_noise


def l_infinity(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Greatest |p - q| over categories (numeric columns: deciles of the reference, see groups.py); 0 to 1.

    Symmetric given the groups. Categories stand each alone, unknown ones in their hash buckets. Missing values are not
    drift here: missing_rate. Of deciles what moves within one is lost, so it is at most the total variation of the
    bins. nan without a valid value on either side. TensorFlow Data Validation, Skew and drift: the L-infinity norm of
    categorical features.

    >>> from detectors.layouts import CategoricalLayout
    >>> def counts(*bins):
    ...     return ColumnCounts(layout=CategoricalLayout(categories=("a", "b", "c")), rows=sum(bins),
    ...         counts=np.array(bins), other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0.,
    ...         low=0., high=0.)
    >>> l_infinity(counts(2, 1, 1), counts(1, 1, 2))
    0.25
    """
    w, r = _shares(window, reference)
    n, m = float(w.sum()), float(r.sum())
    return float(np.max(np.abs(w / n - r / m))) if n and m else math.nan


def l_infinity_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial for each category, p shared by all of them and both directions; the reference's own noise counted."""
    theirs = _shares(reference, reference)[1]
    m = float(theirs.sum())
    if rows <= 0 or m == 0:
        return -math.inf, 1.0
    each = p / (2 * max(1, int(np.count_nonzero(theirs))))
    return -math.inf, greatest_noise({*theirs.tolist()}, m, rows, each)  # equal counts have equal noise


def greatest_noise(counts: set[float], m: float, rows: float, p: float) -> float:
    """How far the share of any of the groups with these of the reference's m rows strays, p at either end of each."""
    ends = [(count / m, *rate_noise(count, m, rows, p)) for count in sorted(counts)]
    return min(1.0, max(0.0, *(max(high - share, share - low) for share, low, high in ends)))


def _shares(window: ColumnCounts, reference: ColumnCounts) -> tuple[Floats, Floats]:
    if window.layout.kind == "numeric":
        return grouped(window, reference)
    return (
        np.concatenate([window.counts, window.other]).astype(np.float64),
        np.concatenate([reference.counts, reference.other]).astype(np.float64),
    )
