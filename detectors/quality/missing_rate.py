"""Share of missing values."""

from __future__ import annotations

from detectors.counts import ColumnCounts
from detectors.quality.rates import rate_noise


def missing_rate(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of events whose value is null or absent, 0 to 1; nan without events. Ignores the reference.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> window = ColumnCounts(layout=NumericLayout(edges=()), rows=8, counts=np.array([4]), other=np.zeros(0, np.int64),
    ...     missing=1, nonfinite=1, unparseable=2, sum=4., low=1., high=1.)
    >>> missing_rate(window, window)
    0.125
    """
    return window.missing / window.rows if window.rows else float("nan")


def missing_rate_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial, the reference's own noise counted."""
    return rate_noise(reference.missing, reference.rows, rows, p)


def missing_rate_events(window: ColumnCounts, reference: ColumnCounts) -> tuple[int, int]:
    """(rows, missing values)."""
    return window.rows, window.missing
