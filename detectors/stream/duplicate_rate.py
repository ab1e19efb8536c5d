"""Share of events that repeat an id."""

from __future__ import annotations

from detectors.arrivals import StreamCounts
from detectors.ids import alone
from detectors.layouts import ID_CELLS, ID_COUNTS, ID_LEVELS, ID_SUMS
from detectors.quality.rates import rate_noise

SAMPLE = 185  # ids seen alone, however many there are: see detectors/ids.py


def duplicate_rate(window: StreamCounts, reference: StreamCounts) -> float:
    """Share of events whose id another event of the window has before them, 0 to 1: 1 - ids / events.

    nan without ids. Ignores the reference. Exactly 0 where no id is repeated; else estimated from about 185 ids (all of
    them while they are few), with a standard error of sqrt(share * (1 - share) / 185). See detectors/ids.py.

    >>> import numpy as np
    >>> from dataclasses import replace
    >>> from detectors.counts import ZERO
    >>> from detectors.ids import hash_texts, id_cells
    >>> cell, mark = id_cells(hash_texts(["a", "a", "a", "a"]))
    >>> cells = np.array([ID_COUNTS + cell[0], ID_SUMS + cell[0]], np.int32)
    >>> counts = replace(ZERO, cells=cells, values=np.array([4, mark.sum()]))
    >>> duplicate_rate(StreamCounts(rows=4, counts=counts), StreamCounts(rows=0))
    0.75
    """
    ids, events = _sample(window)
    return 1 - ids / events if events else float("nan")


def _sample(window: StreamCounts) -> tuple[int, int]:
    size = ID_LEVELS * ID_CELLS
    return alone(window.part(ID_COUNTS, size), window.part(ID_SUMS, size))


def duplicate_rate_noise(reference: StreamCounts, rows: float, p: float) -> tuple[float, float]:
    """Binomial over the ids that are seen alone, the reference's own noise counted."""
    ids, events = _sample(reference)
    return rate_noise(events - ids, events, min(rows, SAMPLE), p)
