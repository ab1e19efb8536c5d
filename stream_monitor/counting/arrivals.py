"""How the events of a block came, as cells (the stream cells of detectors/layouts.py), for the segment `all`.

Everything here adds up for any cut of the events into blocks: an event is out of order by what its partition had
reached before it, which the intent knows at the block's beginning, and a gap belongs to the record behind it. What is
said of a partition (order and gaps) depends, other than all other counts, on which events stand in which partition;
like everything here it is counted only where a monitor asks for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors import layouts as at
from detectors.base import Counted
from detectors.counts import Counts
from detectors.ids import hash_texts, id_cells
from detectors.log_buckets import log_bucket
from stream_monitor.brokers import Message
from stream_monitor.counting.batches import NUMBER, Batch, Records

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """What the records tell of the events of a batch, one entry an event; None where nobody asks."""

    delays_ms: Integers | None = None  # Kafka timestamp - event time
    holes: Integers | None = None  # offsets without a record right before it
    keys: Integers | None = None  # a cell of KEY_CELLS by the Kafka key, -1 without one
    schemas: Integers | None = None  # a cell of SCHEMA_CELLS by the schema, -1 without one

    def take(self, rows: Mask) -> Arrivals:
        """Those of some of the events."""

        def some(of: Integers | None) -> Integers | None:
            return None if of is None else of[rows]

        return Arrivals(
            delays_ms=some(self.delays_ms),
            holes=some(self.holes),
            keys=some(self.keys),
            schemas=some(self.schemas),
        )


def arrivals_of(
    batch: Batch, records: Records, messages: Sequence[Message], wanted: frozenset[Counted], *, before: int, timed: bool
) -> Arrivals:
    """What is `wanted` of the events of a batch. `before`: the last offset with a record before the block.

    `timed`: events have a time of their own; without one there is no delay.
    """
    if not wanted or not len(batch):
        return Arrivals()
    where = np.searchsorted(records.offsets, batch.offsets)
    found = Arrivals()
    if "delays" in wanted and timed:
        stamps = records.timestamps_ms[where]
        found = replace(found, delays_ms=np.where(stamps < 0, np.int64(-1), np.maximum(stamps - batch.times_ms, 0)))
    if "gaps" in wanted:
        holes = np.diff(records.offsets, prepend=before)[where] - 1
        holes[1:][where[1:] == where[:-1]] = 0  # of the rows of one record the first has the gap
        found = replace(found, holes=holes)
    if "keys" in wanted:
        found = replace(found, keys=_cells([messages[i].key() for i in where.tolist()], at.KEY_CELLS))
    if "schemas" in wanted and batch.schema_ids is not None:
        distinct, which = np.unique(batch.schema_ids, return_inverse=True)
        found = replace(found, schemas=_cells([str(i) for i in distinct.tolist()], at.SCHEMA_CELLS)[which])
    return found


def _cells(texts: Sequence[str | bytes | None], cells: int) -> Integers:
    """A cell of each text by its hash, -1 for None."""
    hashes = hash_texts([t if t is not None else b"" for t in texts])
    some = np.array([t is not None for t in texts], np.bool_)
    return np.where(some, (hashes % np.uint64(cells)).astype(np.int64), -1)


def add_arrivals(
    counts: list[Counts],
    groups: NDArray[np.int32],
    batch: Batch,
    came: Arrivals,
    out_of_order: Mask,
    wanted: frozenset[Counted],
) -> None:
    """Put stream cells into the counts of the groups of the segment `all`; `groups` has the group of each event."""
    told = _Told(groups.astype(np.int64))
    if "order" in wanted:
        told.add(np.where(out_of_order, at.OUT_OF_ORDER, -1))
    if came.holes is not None:
        told.add(np.where(came.holes > 0, at.HOLES, -1), came.holes)
    if came.delays_ms is not None:
        told.add(np.where(came.delays_ms >= 0, at.DELAYS + log_bucket(came.delays_ms.astype(np.float64)), -1))
    if came.keys is not None:
        told.add(np.where(came.keys >= 0, at.KEYS + came.keys, -1))
    if came.schemas is not None:
        told.add(np.where(came.schemas >= 0, at.SCHEMAS + came.schemas, -1))
    if "latencies" in wanted and batch.latency is not None:
        told.add(np.where(batch.latency.kinds == NUMBER, at.LATENCIES + log_bucket(batch.latency.numbers), -1))
    if "ids" in wanted and batch.ids is not None:
        cells, marks = id_cells(hash_texts(batch.ids))
        told.add(at.ID_COUNTS + cells)
        told.add(at.ID_SUMS + cells, marks)
    for group, cells, values in told.by_group():
        counts[group] = _with(counts[group], cells, values)


class _Told:
    """(group, cell, value) to be added up."""

    def __init__(self, groups: Integers) -> None:
        self._groups = groups
        self._keys: list[Integers] = []
        self._values: list[Integers] = []

    def add(self, cells: Integers, values: Integers | None = None) -> None:
        rows = cells >= 0
        if rows.any():
            self._keys.append(self._groups[rows] * at.OUTCOME_CELLS + cells[rows])
            self._values.append(np.ones(int(rows.sum()), np.int64) if values is None else values[rows])

    def by_group(self) -> list[tuple[int, Integers, Integers]]:
        if not self._keys:
            return []
        keys, inverse = np.unique(np.concatenate(self._keys), return_inverse=True)
        values = np.zeros(len(keys), np.int64)
        np.add.at(values, inverse, np.concatenate(self._values))
        group, cells = np.divmod(keys, at.OUTCOME_CELLS)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        stops = np.append(starts[1:], len(group))
        return [(int(group[a]), cells[a:b], values[a:b]) for a, b in zip(starts.tolist(), stops.tolist(), strict=True)]


def _with(counts: Counts, cells: Integers, values: Integers) -> Counts:
    """`counts` with stream cells, of which it has none yet: they stand between the labels' and the columns'."""
    place = int(np.searchsorted(counts.cells, at.LABEL_CELLS))
    return replace(
        counts,
        cells=np.insert(counts.cells, place, cells.astype(np.int32)),
        values=np.insert(counts.values, place, values),
    )


def as_features(counts: Counts, rows: int) -> Counts:
    """Counts of events of a feature stream: they are no rows, but say how many they are."""
    marked = _with(counts, np.array([at.FEATURE_ROWS]), np.array([rows]))
    return replace(marked, rows=0)
