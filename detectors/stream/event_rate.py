"""Events a second."""

from __future__ import annotations

import math

import scipy

from detectors.arrivals import StreamCounts


def event_rate(window: StreamCounts, reference: StreamCounts) -> float:
    """Rows of the window a second; nan where windows have no length of their own (`window: {rows: N}`).

    0 without events. Ignores the reference. `row_volume` sees the same for all versions together, against the usual.

    >>> event_rate(StreamCounts(rows=600, seconds=300.0), StreamCounts(rows=0))
    2.0
    """
    return window.rows / window.seconds if window.seconds > 0 else float("nan")


def event_rate_noise(reference: StreamCounts, rows: float, p: float) -> tuple[float, float]:
    """Poisson: independent events come in numbers whose variance is their mean; the reference's own noise counted."""
    if not reference.seconds > 0 or not reference.rows or rows <= 0:
        return 0.0, math.inf
    usual = reference.rows / reference.seconds
    reach = -float(scipy.special.ndtri(p)) * math.sqrt(1 / rows + 1 / reference.rows)
    return max(0.0, usual * (1 - reach)), usual * (1 + reach)
