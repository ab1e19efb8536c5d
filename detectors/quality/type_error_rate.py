"""Share of values of the wrong type."""

from __future__ import annotations

from detectors.counts import ColumnCounts
from detectors.quality.rates import rate_noise


def type_error_rate(window: ColumnCounts, reference: ColumnCounts) -> float:
    """Share of rows whose value has a type that the column does not hold (text in a numeric one, ...), 0 to 1.

    The part of invalid_rate that is not NaN or infinite. Ignores the reference. nan without rows.

    >>> import numpy as np
    >>> from detectors.layouts import NumericLayout
    >>> window = ColumnCounts(layout=NumericLayout(edges=(0.,)), rows=8, counts=np.array([1, 4]),
    ...     other=np.zeros(0, np.int64), missing=0, nonfinite=1, unparseable=2, sum=0., low=0., high=0.)
    >>> type_error_rate(window, window)
    0.25
    """
    return window.unparseable / window.rows if window.rows else float("nan")


def type_error_rate_noise(reference: ColumnCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial, the reference's own noise counted."""
    return rate_noise(reference.unparseable, reference.rows, rows, p)


def type_error_rate_events(window: ColumnCounts, reference: ColumnCounts) -> tuple[int, int]:
    """(rows, values of the wrong type)."""
    return window.rows, window.unparseable
