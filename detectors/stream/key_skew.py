"""How unevenly the Kafka keys are spread."""

from __future__ import annotations

from detectors.arrivals import StreamCounts
from detectors.layouts import KEY_CELLS, KEYS


def key_skew(window: StreamCounts, reference: StreamCounts) -> float:
    """Largest share of events that one of 64 hash cells of the Kafka key has: 1/64 spread evenly, 1 a single key.

    nan without keys. Ignores the reference.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from detectors.counts import ZERO
    >>> counts = replace(ZERO, cells=np.array([KEYS, KEYS + 9], np.int32), values=np.array([3, 1]))
    >>> key_skew(StreamCounts(rows=4, counts=counts), StreamCounts(rows=0))
    0.75
    """
    keys = window.part(KEYS, KEY_CELLS)
    return float(keys.max() / keys.sum()) if keys.sum() else float("nan")
