"""Has a column stuck at one value?"""

from __future__ import annotations

from detectors.counts import ColumnCounts
from detectors.quality.rates import rate_noise


def constant_share(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of the valid values that lie in the fullest bin (categories: the most frequent one), 0 to 1.

    1 is a constant column. Ignores the reference. A bin holds more than one value: too great by at most the share of
    the others in it; the bins of a learnt layout hold about 1/250 each, and heaped values have bins of their own. nan
    without a valid value.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> window = ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=6, counts=np.array([3, 1]),
    ...     other=np.array([0, 0]), missing=2, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> constant_share(window, window)
    0.75
    """
    return _fullest(window) / window.valid if window.valid else float("nan")


def constant_share_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial for every bin, p shared by those that could be the fullest; the reference's own noise counted."""
    if rows <= 0 or not reference.valid:
        return 0.0, 1.0
    some = int((reference.counts > 0).sum()) + int((reference.other > 0).sum())
    fullest = _fullest(reference)
    low = rate_noise(fullest, reference.valid, rows, p)[0]
    return low, rate_noise(fullest, reference.valid, rows, p / max(1, some))[1]


def _fullest(column: ColumnCounts) -> int:
    return int(max(column.counts.max(initial=0), column.other.max(initial=0)))
