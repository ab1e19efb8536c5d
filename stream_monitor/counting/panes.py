"""Columns -> counts: the events of one block, grouped by (version, segment, pane).

Everything here is a pure function of the block's events, its layout and the configuration, and any cut of the events
into blocks adds up to the same counts.

Segments are "all" and one "dimension=value" for each declared dimension, with the values `null` (missing) and `other`.
At most `max_segments` values of a dimension have a name: those the layout knows, then those of least hash; the others
are `other`. Why by hash: whoever cuts a longer list off, a tap for its block or a worker for what it has seen so far,
comes to the same names in the end, in whatever order the values came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Final

import numpy as np
from numpy.typing import NDArray

from detectors.counts import ZERO, Counts
from detectors.kernels import Groups, hash_bytes
from detectors.layouts import LABEL_CELLS, OUTCOME_CELLS, RAW_ID, CategoricalLayout, Layout
from detectors.partitions import partition
from stream_monitor.config import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Model, Time
from stream_monitor.config.monitors import counted_for
from stream_monitor.counting.arrivals import Arrivals, add_arrivals, as_features
from stream_monitor.counting.batches import NESTED, Batch, Column
from stream_monitor.counting.columns import column, name_of
from stream_monitor.counting.fields import score_columns
from stream_monitor.counting.outcomes import add_outcomes
from stream_monitor.counting.tallies import Grouped, take, tally
from stream_monitor.entries import PaneRecord
from stream_monitor.interfaces import Joined
from stream_monitor.packing import pack_counts

Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Key = tuple[str, str, int]  # version, segment, pane start

ALL: Final = "all"
OTHER: Final = "other"
NULL: Final = "null"
NICE_PANES_MS: Final = (
    *(s * SECOND_MS for s in (1, 2, 5, 10, 15, 20, 30)),
    *(m * MINUTE_MS for m in (1, 2, 5, 10, 15, 20, 30)),
    *(h * HOUR_MS for h in (1, 2, 3, 4, 6, 8, 12)),
    *(d * DAY_MS for d in (1, 7)),
)
PANE_ROWS: Final = 25  # rows a pane of the reference should have at least
MOST_PANES: Final = 1000  # panes a reference should have at most


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCounts:
    """What a block adds. Late events are in `late` and in records of their own, with rows 0 and late > 0."""

    panes: list[PaneRecord]  # sorted by (version, segment, start_ms); then those of late events
    max_time_ms: int | None  # greatest event time of the source so far, None before its first event
    rows: int  # events counted
    late: int


def reached(times_ms: Integers, max_time_ms: int | None, others: Integers | None = None) -> Integers:
    """Per event, in offset order, the greatest time before it in its partition.

    `max_time_ms` is that before all of them; `others`, where other models' events stand between them, the greatest time
    of all events that come before each.

    >>> reached(np.array([5, 900, 0]), 7, np.array([7, 7, 950])).tolist()
    [7, 7, 950]
    """
    least = np.iinfo(np.int64).min // 2
    before = np.concatenate([[least if max_time_ms is None else max_time_ms], times_ms[:-1]])
    before = np.maximum.accumulate(before)[: len(times_ms)]
    return before if others is None else np.maximum(before, others)


def late_bounds(before: Integers, time: Time) -> Integers:
    """Per event the time below which it is late, by what was `reached` before it.

    >>> late_bounds(reached(np.array([0, 900_000, 0]), None), Time()).tolist()[1:]
    [-605000, 295000]
    """
    return before - (time.out_of_orderness + time.allowed_lateness)


def segment_rank(value: str) -> bytes:
    """The order in which values of a segment are given names: least first."""
    return hash_bytes(value)


def admitted(values: Iterable[str], known: Sequence[str], limit: int) -> set[str]:
    """Which values have a segment of their own.

    >>> admitted(["de", "fr", "zz"], ["de"], 10) == {"de", "fr", "zz"}, admitted(["de", "fr"], ["de"], 1)
    (True, {'de'})
    """
    first = set(known[:limit])
    unknown = sorted(set(values) - first, key=segment_rank)
    return first.union(unknown[: max(0, limit - len(first))])


def _segment_names(of: Column, dimension: str, layout: Layout | None, model: Model) -> list[str]:
    """The segment of each code of `_segment_codes`; the last one is that of missing values, code -1."""
    laid_out = layout.features.get(dimension) if layout is not None else None
    known = laid_out.categories if isinstance(laid_out, CategoricalLayout) else ()
    names = admitted(of.words, known, model.max_segments)
    values = [name_of(w) if w in names else OTHER for w in of.words]
    return [f"{dimension}={value}" for value in (*values, OTHER, NULL)]


def _segment_codes(of: Column) -> NDArray[np.int32]:
    """Codes into the words, one more for lists and objects, -1 for missing values."""
    return np.where(of.kinds == NESTED, np.int32(len(of.words)), of.codes)


def segments_of(batch: Batch, layout: Layout | None, model: Model) -> list[tuple[str, ...]]:
    """Per event its segments, "all" not among them: what a later label is counted under."""
    lists = []
    for dimension, of in batch.segments.items():
        names = _segment_names(of, dimension, layout, model)
        lists.append([names[c] for c in _segment_codes(of).tolist()])
    return list(zip(*lists, strict=True)) if lists else [()] * len(batch)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grouping:
    """Which groups the events of a batch are in: `keys` are those of the groups, part after part."""

    keys: list[Key]
    groups: Grouped

    def spans(self, offsets: Integers) -> list[tuple[int, int]]:
        """Per group, the least offset and one past the greatest; `offsets` ascend."""
        out = []
        for part in self.groups.parts:
            low, high = offsets[part.order[part.bounds[:-1]]], offsets[part.order[part.bounds[1:] - 1]] + 1
            out += list(zip(low.tolist(), high.tolist(), strict=True))
        return out

    def sizes(self) -> list[int]:
        """Events in each group."""
        return [size for part in self.groups.parts for size in part.sizes.tolist()]


def grouping(batch: Batch, starts_ms: Integers, layout: Layout | None, model: Model) -> Grouping:
    """The groups of all events: by (version, pane) for "all", and for each dimension by (version, value, pane)."""
    first, last = int(starts_ms.min()), int(starts_ms.max())
    steps = np.diff(starts_ms)
    step = int(np.gcd.reduce(steps[steps != 0])) if last > first else 1
    panes = (last - first) // step + 1
    pane = (starts_ms - first) // step if last > first else np.zeros(len(batch), np.int64)
    base = batch.version_codes.astype(np.int64) * panes + pane if len(batch.versions) > 1 else pane
    parts, keys = [], []
    for dimension in ("", *batch.segments):
        distinct, codes = [ALL], base
        if dimension:
            of = batch.segments[dimension]
            names = _segment_names(of, dimension, layout, model)
            distinct = sorted(set(names))
            table = np.array([distinct.index(n) for n in names], np.int64)
            codes = base * len(distinct) + table[_segment_codes(of)]
        found, part = partition(codes, len(batch.versions) * panes * len(distinct))
        parts.append(part)
        for group in found:
            key, segment = divmod(group, len(distinct))
            version, at = divmod(key, panes)
            keys.append((batch.versions[version], distinct[segment], first + at * step))
    at_key = {key: i for i, key in enumerate(keys[: len(parts[0])])}
    pieces = keys[len(parts[0]) :][: len(parts[1])] if len(parts) > 1 else []
    whole = tuple(at_key[version, ALL, start] for version, _, start in pieces)
    return Grouping(keys=keys, groups=Grouped(parts=tuple(parts), whole=whole))


def _spans(groups: Groups, offsets: Integers, count: int) -> list[tuple[int, int]]:
    """Per group, the least offset and one past the greatest."""
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    for group in groups:
        rows = group >= 0
        np.minimum.at(low, group[rows], offsets[rows])
        np.maximum.at(high, group[rows], offsets[rows])
    return list(zip(low.tolist(), (high + 1).tolist(), strict=True))


def pane_ms_of(layout: Layout | None, model: Model) -> int:
    """How long a pane is under `layout`, None being the raw one."""
    return layout.pane_ms if layout is not None else raw_pane_ms(model)


def count_block(
    batch: Batch,
    layout: Layout | None,
    name: str,
    model: Model,
    time: Time,
    max_time_ms: int | None,
    others: Integers | None = None,
    came: Arrivals | None = None,
    feature_stream: bool = False,
) -> BlockCounts:
    """Counts of the valid events of one block of one source, in offset order; `layout` None is the raw layout.

    `max_time_ms` and `others`: see `reached`. `came`: what the records tell of how the events came. `feature_stream`:
    they are features without their predictions, which are counted in the columns and are no rows.
    """
    if not len(batch):
        return BlockCounts(panes=[], max_time_ms=max_time_ms, rows=0, late=0)
    before = reached(batch.times_ms, max_time_ms, others)
    is_late = batch.times_ms < late_bounds(before, time)
    tardy = int(np.count_nonzero(is_late))
    pane_ms, layout_id = pane_ms_of(layout, model), RAW_ID if layout is None else layout.id
    starts_ms = batch.times_ms // pane_ms * pane_ms
    panes: list[PaneRecord] = []
    on_time = take(batch, ~is_late)
    if len(on_time):
        found = grouping(on_time, starts_ms[~is_late] if tardy else starts_ms, layout, model)
        counts = tally(on_time, layout, model, found.groups)
        if model.features is not None:
            counts = [of_one_stream(c, layout, feature_stream=feature_stream) for c in counts]
        if not feature_stream and (wanted := counted_for(model)):
            some, whole = (came or Arrivals()).take(~is_late), found.groups.parts[0].group
            disordered = (batch.times_ms < before)[~is_late]
            add_arrivals(counts, whole, on_time, some, disordered, wanted)
        spans = found.spans(on_time.offsets)
        for i in sorted(range(len(found.keys)), key=found.keys.__getitem__):
            version, segment, start = found.keys[i]
            packed = pack_counts(counts[i])
            panes.append(PaneRecord(name, version, segment, start, layout_id, spans[i], 0, packed))
    if tardy and not feature_stream:
        late = take(batch, is_late)
        found = grouping(late, starts_ms[is_late], layout, model)
        spans, sizes = found.spans(late.offsets), found.sizes()
        for i in sorted(range(len(found.keys)), key=found.keys.__getitem__):
            version, segment, start = found.keys[i]
            panes.append(PaneRecord(name, version, segment, start, layout_id, spans[i], sizes[i], pack_counts(ZERO)))
    greatest = int(batch.times_ms.max())
    return BlockCounts(
        panes=panes,
        max_time_ms=greatest if max_time_ms is None else max(greatest, max_time_ms),
        rows=len(on_time),
        late=tardy,
    )


def of_one_stream(counts: Counts, layout: Layout | None, *, feature_stream: bool) -> Counts:
    """Counts of a model whose features come in a stream of their own, without what its other stream counts.

    Events of one stream would be counted as missing in the columns of the other.
    """
    if layout is not None:
        border = OUTCOME_CELLS + sum(of.size for of in layout.features.values())
        ours = (counts.cells < OUTCOME_CELLS) | (counts.cells >= layout.joint_offset)
        ours |= (counts.cells < border) == feature_stream
        counts = replace(counts, cells=counts.cells[ours], values=counts.values[ours])
    return as_features(counts, counts.rows) if feature_stream else counts


def count_joined(
    joined: Sequence[Joined],
    offsets: Sequence[int],
    layout: Layout | None,
    name: str,
    model: Model,
    late: Sequence[bool] | None = None,
) -> list[PaneRecord]:
    """Outcome counts of labels with their predictions: in the pane of the label's time, rows 0.

    `offsets` are those of the events that completed the pairs, in their own source. A pair marked late is counted
    late only.
    """
    if not joined:
        return []
    pane_ms, layout_id = pane_ms_of(layout, model), RAW_ID if layout is None else layout.id
    is_late = np.array(late if late is not None else [False] * len(joined), np.bool_)
    keys: dict[tuple[bool, Key], int] = {}
    width = 1 + max(len(pair.prediction.segments) for pair in joined)
    groups = np.full((width, len(joined)), -1, np.int32)
    for i, (pair, tardy) in enumerate(zip(joined, is_late.tolist(), strict=True)):
        start = pair.label.time_ms // pane_ms * pane_ms
        for k, segment in enumerate((ALL, *pair.prediction.segments)):
            groups[k, i] = keys.setdefault((tardy, (pair.prediction.version, segment, start)), len(keys))
    cells = np.zeros((len(keys), LABEL_CELLS), np.int64)
    score, class_scores = score_columns(model, [pair.prediction.score for pair in joined])
    add_outcomes(
        cells,
        np.where(is_late, np.int32(-1), groups),
        model,
        label=column("label", [pair.label.label for pair in joined], "raw"),
        prediction=column("prediction", [pair.prediction.prediction for pair in joined], "raw")
        if model.fields.prediction
        else None,
        score=score if model.fields.score else None,
        class_scores=class_scores,
        delay_seconds=np.array([pair.label.time_ms - pair.prediction.time_ms for pair in joined]) / 1000.0,
    )
    spans = _spans(groups, np.asarray(offsets, np.int64), len(keys))
    panes = []
    for tardy, key in sorted(keys):
        i = keys[tardy, key]
        found = np.flatnonzero(cells[i])
        counts = replace(ZERO, cells=found.astype(np.int32), values=cells[i, found])
        size = int((groups == i).sum()) if tardy else 0
        panes.append(PaneRecord(name, *key, layout_id, spans[i], size, pack_counts(counts)))
    return panes


def _steps(model: Model) -> int:
    """What a pane must divide: both ends of every window are multiples of it."""
    return gcd(model.window.size, model.slide_ms)


def _choices(model: Model) -> list[int]:
    step = _steps(model)
    return [p for p in NICE_PANES_MS if step % p == 0] or [step]


def raw_pane_ms(model: Model) -> int:
    """The pane of the raw layout: a function of the configuration alone, about a thirtieth of a window.

    >>> raw_pane_ms(Model(topic=("t",)))
    10000
    """
    if model.pane:
        return model.pane
    choices = _choices(model)
    return max((p for p in choices if p <= _steps(model) // 30), default=choices[0])


def choose_pane(model: Model, times_ms: Integers) -> int:
    """The pane for a reference with these event times: the least with PANE_ROWS rows a pane and not above MOST_PANES.

    >>> choose_pane(Model(topic=("t",)), np.arange(10_000) * 1000)
    30000
    """
    if model.pane:
        return model.pane
    choices = _choices(model)
    if not len(times_ms):
        return raw_pane_ms(model)
    for pane in choices:
        panes = len(np.unique(times_ms // pane))
        if panes <= MOST_PANES and len(times_ms) >= PANE_ROWS * panes:
            return pane
    return choices[-1]
