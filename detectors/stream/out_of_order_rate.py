"""Share of events that came out of order."""

from __future__ import annotations

from detectors.arrivals import StreamCounts
from detectors.layouts import OUT_OF_ORDER
from detectors.quality.rates import rate_noise


def out_of_order_rate(window: StreamCounts, reference: StreamCounts) -> float:
    """Share of rows whose time is before that of an earlier record of their partition, 0 to 1; nan without rows.

    Ignores the reference.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from detectors.counts import ZERO
    >>> cells = replace(ZERO, cells=np.array([OUT_OF_ORDER], np.int32), values=np.array([2]))
    >>> out_of_order_rate(StreamCounts(rows=8, counts=cells), StreamCounts(rows=0))
    0.25
    """
    return window.count(OUT_OF_ORDER) / window.rows if window.rows else float("nan")


def out_of_order_rate_noise(reference: StreamCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial, the reference's own noise counted."""
    return rate_noise(reference.count(OUT_OF_ORDER), reference.rows, rows, p)
