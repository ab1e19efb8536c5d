"""Offsets without a record."""

from __future__ import annotations

from detectors.arrivals import StreamCounts
from detectors.layouts import HOLES


def offset_gaps(window: StreamCounts, reference: StreamCounts) -> float:
    """Number of offsets without a record that stand right before the window's events; nan without rows.

    Ignores the reference. Transactions and compaction leave such gaps, too: a number above 0 means loss only where
    neither is used.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from detectors.counts import ZERO
    >>> counts = replace(ZERO, cells=np.array([HOLES], np.int32), values=np.array([5]))
    >>> offset_gaps(StreamCounts(rows=4, counts=counts), StreamCounts(rows=0))
    5.0
    """
    return float(window.count(HOLES)) if window.rows else float("nan")
