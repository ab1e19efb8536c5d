"""How the spread has changed."""

from __future__ import annotations

import math

import scipy

from detectors.counts import ColumnCounts
from detectors.drift.moments import spread


def std_ratio(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Standard deviation of the window over that of the reference: 1 is no change, 2 twice as wide.

    Both deviations are read from the bins (moments.py), each off by at most the root of the sum of share x width^2: the
    quotient lies between those with one of them too small and the other too great by as much. Missing values are left
    out. nan without a valid value on either side, or when the reference has one value only.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> def even(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0., 1., 2.)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0,
    ...         sum=bins[1] * 0.5 + bins[2] * 1.5, low=0., high=1. + (bins[2] > 0))
    >>> std_ratio(even(0, 5, 5, 0), even(0, 5, 0, 0))
    2.0
    """
    usual = spread(reference).deviation
    if not window.counts.any() or not usual > 0:
        return math.nan
    ratio = spread(window, like=reference).deviation / usual
    return ratio if math.isfinite(ratio) else math.nan


def std_ratio_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Log-normal, by the delta method with the reference's kurtosis, its own noise counted.

    Layard 1973, J. Amer. Statist. Assoc. 68. Kurtosis of a tail that the reference has not seen is not in it.
    """
    m = int(reference.counts.sum())
    if rows <= 1 or m <= 1:
        return 0.0, math.inf
    kurtosis = max(1.0, spread(reference).kurtosis)
    variance = ((kurtosis - 1) / 4 + 0.5 / rows) * (1 / rows + 1 / m)
    reach = -float(scipy.special.ndtri(p)) * math.sqrt(variance)
    return math.exp(-reach), math.exp(reach) if reach < 700 else math.inf
