"""Change of the mix of schemas."""

from __future__ import annotations

import numpy as np

from detectors.arrivals import StreamCounts
from detectors.layouts import SCHEMA_CELLS, SCHEMAS


def schema_mix(window: StreamCounts, reference: StreamCounts) -> float:
    """Total variation between the schemas of the window's events and the reference's: 0 the same mix, 1 none in common.

    nan without events that name a schema. Schemas are told apart by a hash into 16 cells.

    >>> from dataclasses import replace
    >>> from detectors.counts import ZERO
    >>> old = replace(ZERO, cells=np.array([SCHEMAS], np.int32), values=np.array([9]))
    >>> new = replace(ZERO, cells=np.array([SCHEMAS, SCHEMAS + 3], np.int32), values=np.array([3, 1]))
    >>> schema_mix(StreamCounts(rows=4, counts=new), StreamCounts(rows=9, counts=old))
    0.25
    """
    now, usual = window.part(SCHEMAS, SCHEMA_CELLS), reference.part(SCHEMAS, SCHEMA_CELLS)
    if not now.sum() or not usual.sum():
        return float("nan")
    return float(np.abs(now / now.sum() - usual / usual.sum()).sum() / 2)
