"""How far the median has moved."""

from __future__ import annotations

from detectors.counts import ColumnCounts
from detectors.drift.quantiles import quantile_noise, quantile_shift


def median_shift(window: ColumnCounts, reference: ColumnCounts) -> float:
    """The value that half of the window lies below, less that of the reference, in the column's units.

    Quantiles are straight within their bins: off by at most the width of the window's bin plus the reference's.
    Missing values are left out. nan without a valid value on either side, or beyond the doubles.
    Hyndman and Fan 1996, Amer. Statist. 50 (quantiles).

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> def even(*bins):
    ...     return ColumnCounts(layout=NumericLayout(edges=(0., 1., 2.)), rows=sum(bins), counts=np.array(bins),
    ...         other=np.zeros(0, np.int64), missing=0, nonfinite=0, unparseable=0, sum=0., low=0., high=2.)
    >>> median_shift(even(0, 0, 100, 0), even(0, 100, 0, 0))
    1.0
    """
    return quantile_shift(window, reference, 0.5)


def median_shift_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """What order statistics of the reference's distribution leave."""
    return quantile_noise(reference, rows, p, 0.5)
