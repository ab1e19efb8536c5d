"""Share of unseen categories."""

from __future__ import annotations

from detectors.counts import ColumnCounts
from detectors.quality.rates import rate_noise


def unseen_rate(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of valid values that are a category the layout does not know, 0 to 1; nan without a valid value.

    Ignores the reference; a layout that keeps only frequent categories gives the reference itself a share above 0,
    which its threshold is learnt from.

    >>> import numpy as np
    >>> from detectors.layouts import CategoricalLayout
    >>> window = ColumnCounts(layout=CategoricalLayout(categories=("a", "b")), rows=6, counts=np.array([2, 1]),
    ...     other=np.array([0, 1]), missing=2, nonfinite=0, unparseable=0, sum=0., low=0., high=0.)
    >>> unseen_rate(window, window)
    0.25
    """
    return int(window.other.sum()) / window.valid if window.valid else float("nan")


def unseen_rate_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial, the reference's own noise counted."""
    return rate_noise(int(reference.other.sum()), reference.valid, rows, p)


def unseen_rate_events(window: ColumnCounts, reference: ColumnCounts) -> tuple[int, int]:
    """(valid values, unseen ones)."""
    return window.valid, int(window.other.sum())
