"""How the events of a window came: the stream cells of its counts, which the metrics of detectors/stream/ read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ZERO, Counts, merge
from detectors.layouts import FEATURE_ROWS, LABEL_CELLS, OUTCOME_CELLS

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StreamCounts:
    """What a window knows of the coming of its events.

    `late` events are not among the `rows`, nan if it is not known how many there were. `seconds`: its length, nan where
    its windows are not of one length. `silence`: seconds before its end since which the most silent source partition
    has had no event, nan if unknown.
    """

    rows: int
    late: float = float("nan")
    seconds: float = float("nan")
    silence: float = float("nan")
    counts: Counts = field(default=ZERO)

    def count(self, cell: int) -> int:
        """The count of one cell of layouts.py."""
        return int(self.part(cell, 1)[0])

    def part(self, first: int, size: int) -> Integers:
        """The counts of `size` cells from `first` on."""
        low, high = np.searchsorted(self.counts.cells, (first, first + size))
        dense = np.zeros(size, np.int64)
        dense[self.counts.cells[low:high] - first] = self.counts.values[low:high]
        return dense


def stream_part(counts: Counts) -> Counts:
    """The stream cells of `counts`, with its rows."""
    low, high = np.searchsorted(counts.cells, (LABEL_CELLS, OUTCOME_CELLS))
    return replace(ZERO, rows=counts.rows, cells=counts.cells[low:high], values=counts.values[low:high])


def stream_counts(parts: Iterable[Counts], **more: float) -> StreamCounts:
    """Of counts under any layouts, added up.

    >>> stream_counts([ZERO, replace(ZERO, rows=3)]).rows
    3
    """
    merged = merge([stream_part(c) for c in parts])
    return StreamCounts(rows=merged.rows, counts=merged, **more)


def together_streams(windows: Sequence[StreamCounts]) -> StreamCounts:
    """Several windows that do not overlap, added up."""
    return StreamCounts(
        rows=sum(w.rows for w in windows),
        late=sum(w.late for w in windows),
        seconds=sum(w.seconds for w in windows) if windows else float("nan"),
        counts=merge([w.counts for w in windows]),
    )


def without(total: StreamCounts, window: StreamCounts) -> StreamCounts:
    """A total less one of its windows."""
    less = replace(window.counts, rows=-window.rows, values=-window.counts.values)
    return StreamCounts(
        rows=total.rows - window.rows,
        late=total.late - window.late,
        seconds=total.seconds - window.seconds,
        counts=merge([total.counts, less]),
    )


def feature_rows(counts: Counts) -> int:
    """Events of a feature stream in `counts`, which are no rows of it."""
    i = int(np.searchsorted(counts.cells, FEATURE_ROWS))
    return int(counts.values[i]) if i < len(counts.cells) and counts.cells[i] == FEATURE_ROWS else 0
