"""Median of the end-to-end delay."""

from __future__ import annotations

from detectors.arrivals import StreamCounts
from detectors.layouts import DELAYS, LOG_BUCKETS
from detectors.log_buckets import log_quantile, quantile_noise


def delay_p50(window: StreamCounts, reference: StreamCounts) -> float:
    """Median of the end-to-end delay: Kafka timestamp less event time, in milliseconds; nan without any.

    Ignores the reference. Right within a bucket of detectors/log_buckets.py: off by at most 25 %.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from detectors.counts import ZERO
    >>> from detectors.log_buckets import log_bucket
    >>> at = DELAYS + log_bucket(np.array([64.0]))  # the bucket from 57.344 to 65.536 ms
    >>> counts = replace(ZERO, cells=at.astype(np.int32), values=np.array([100]))
    >>> round(delay_p50(StreamCounts(rows=100, counts=counts), StreamCounts(rows=0)), 3)
    61.44
    """
    return log_quantile(window.part(DELAYS, LOG_BUCKETS), 0.5)


def delay_p50_noise(reference: StreamCounts, rows: float, p: float) -> tuple[float, float]:
    """By the rank of the quantile, which is binomial, the reference's own noise counted."""
    return quantile_noise(reference.part(DELAYS, LOG_BUCKETS), 0.5, rows, p)
