"""Share of values outside what the reference has seen."""

from __future__ import annotations

import numpy as np

from detectors.counts import ColumnCounts
from detectors.layouts import NumericLayout
from detectors.quality.rates import rate_noise


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
    """Binomial: the next value is beyond the extremes of m with probability 2 / (m + 1)."""
    return -float("inf"), rate_noise(1, int(reference.counts.sum()), rows, p)[1]
