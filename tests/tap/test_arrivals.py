"""How events came, as a tap counts it: for the segment `all`, and the same for any cut of the events into blocks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.arrivals import StreamCounts, stream_counts
from detectors.counts import columns, merge, outcome
from detectors.ids import alone
from detectors.layouts import (
    DELAYS,
    HOLES,
    ID_CELLS,
    ID_COUNTS,
    ID_LEVELS,
    ID_SUMS,
    KEY_CELLS,
    KEYS,
    LABELS,
    LATENCIES,
    LOG_BUCKETS,
    OUT_OF_ORDER,
    CategoricalLayout,
    Layout,
    NumericLayout,
)
from detectors.log_buckets import log_quantile
from stream_monitor.config import Config, FeatureFields, Features, Fields, Model, MonitorSpec, Time
from stream_monitor.config.monitors import counted_for
from stream_monitor.config.plain import config_id
from stream_monitor.counting.arrivals import arrivals_of
from stream_monitor.counting.plans import event_plan
from stream_monitor.formats import decode
from stream_monitor.packing import unpack_counts
from stream_monitor.publications import Publications
from stream_monitor.runs import Runs
from stream_monitor.tap.blocks import Counted
from stream_monitor.tap.counting import _records
from tests.tap.test_counting import NOW, counting, intent
from tests.tap.twin import Record

ASKED = (
    *("out_of_order_rate", "duplicate_rate", "key_skew", "offset_gaps"),
    *("delay_p50", "latency_p50", "late_rate"),
)
ALL = tuple(MonitorSpec(metric=m) for m in ASKED)
MODEL = Model(
    topic=("t",),
    fields=Fields(id="id", time="ts", features="f", latency_ms="took"),
    columns={"x": "numeric"},
    segments=("c",),
    monitors=ALL,
)


def config(model: Model = MODEL) -> Config:
    return Config(models={"m": model}, time=Time(allowed_lateness=600_000))


def event(offset: int, at_ms: int, *, id: Any = 1, key: bytes | None = b"k", took: Any = 8, stamp: int = NOW) -> Record:
    body = {"id": id, "ts": at_ms, "f": {"x": 1.0, "c": "de"}, "took": took}
    return Record(offset, json.dumps(body).encode(), name=key, time_ms=stamp)


def count(it: Config, records: Sequence[Record], **changes: Any) -> Counted:
    to = max((r.at + 1 for r in records), default=0)
    return counting(it).count(intent(**{"config": config_id(it), "to": to, **changes}), ("t", 0), records)


def came(*counted: Counted, segment: str = "all") -> StreamCounts:
    return stream_counts([unpack_counts(p.counts) for c in counted for p in c.panes if p.segment == segment])


def test_what_is_asked_for_is_counted() -> None:
    records = [
        event(2, NOW - 5_000, id="a", stamp=NOW),  # two offsets before it without a record
        event(3, NOW - 9_000, id="b", stamp=NOW, key=None),  # out of order
        event(7, NOW - 4_000, id="a", stamp=NOW - 6_000, took=None),  # three; stamped before its time; no latency
        Record(9, b"?"),  # the gap before what is no event is no event's
    ]
    made = count(config(), records)
    found = came(made)
    assert (found.rows, found.count(OUT_OF_ORDER), found.count(HOLES)) == (3, 1, 5)
    assert alone(found.part(ID_COUNTS, ID_LEVELS * ID_CELLS), found.part(ID_SUMS, ID_LEVELS * ID_CELLS)) == (2, 3)
    assert found.part(KEYS, KEY_CELLS).max() == found.part(KEYS, KEY_CELLS).sum() == 2
    delays = found.part(DELAYS, LOG_BUCKETS)
    assert (delays.sum(), delays[0]) == (3, 1)
    assert log_quantile(found.part(LATENCIES, LOG_BUCKETS), 0.5) < 10
    assert not came(made, segment="c=de").counts.cells.size
    assert made.hole == 0


def test_schemas_are_told_apart() -> None:
    """Ids as the formats with a registry give them."""
    it = config(replace(MODEL, monitors=(MonitorSpec(metric="schema_mix"),)))
    records = [event(i, NOW) for i in range(6)]
    batch, _ = decode(_records(Runs.of(records)), event_plan("m", it), None, NOW)
    batch = replace(batch, schema_ids=np.array([7, 7, 9, 7, 9, 7]))
    wanted = counted_for(it.models["m"])
    told = arrivals_of(batch, _records(Runs.of(records)), records, wanted, before=-1, timed=True)
    assert told.schemas is not None
    first, second = int(told.schemas[0]), int(told.schemas[2])
    assert first != second
    assert told.schemas.tolist() == [first, first, second, first, second, first]
    assert told.delays_ms is told.keys is told.holes is None


def test_what_nobody_asks_for_is_not() -> None:
    quiet = config(replace(MODEL, monitors=(MonitorSpec(metric="late_rate"),)))
    found = came(count(quiet, [event(2, NOW - 5_000), event(3, NOW - 9_000)]))
    assert found.rows == 2
    assert not found.counts.cells.size


def test_offsets_without_a_record_at_the_end_of_a_block_are_those_of_the_next_event() -> None:
    first = count(config(), [event(0, NOW)], to=5)
    nothing = count(config(), [], from_=5, to=7, hole=first.hole)
    then = count(config(), [event(8, NOW)], from_=7, to=9, hole=nothing.hole, max_event_ms=NOW)
    assert (first.hole, nothing.hole, then.hole) == (4, 6, 0)
    assert came(first, nothing, then).count(HOLES) == 7


EVENTS = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(-60_000, 0),
        st.sampled_from(["a", "b", "c", 7]),
        st.sampled_from([None, b"", b"x"]),
        st.sampled_from([None, 0, 1.5, 2**60, "no"]),
    ),
    max_size=25,
)


@settings(max_examples=80, deadline=None)
@given(EVENTS, st.lists(st.integers(0, 25), max_size=4).map(sorted), st.integers(0, 3))
def test_any_cut_gives_the_same(events: list[Any], cuts: list[int], trailing: int) -> None:
    records, offset = [], -1
    for step, ago, id, key, took in events:
        offset += step
        records.append(event(offset, NOW + ago, id=id, key=key, took=took, stamp=NOW))
    whole = count(config(), records, to=offset + 1 + trailing)
    parts: list[Counted] = []
    start, hole, greatest = 0, 0, None
    for first, last in zip([0, *cuts], [*cuts, len(records)], strict=True):
        stop = records[last - 1].at + 1 if first < last <= len(records) else start
        stop = offset + 1 + trailing if last >= len(records) else min(stop + trailing, records[last].at)
        stop = max(stop, start)
        parts.append(count(config(), records[first:last], from_=start, to=stop, hole=hole, max_event_ms=greatest))
        start, hole, greatest = stop, parts[-1].hole, parts[-1].max_event_ms
    assert came(*parts).counts == came(whole).counts
    assert hole == whole.hole


LAYOUT = Layout(
    pane_ms=10_000,
    features={"x": NumericLayout(edges=(0.0, 1.0)), "c": CategoricalLayout(categories=("de",))},
    predictions={"score": NumericLayout(edges=(0.5,))},
)
APART = Model(
    topic=("t",),
    task="binary",
    fields=Fields(id="id", time="ts", version="v", score="s", label="y"),
    features=Features(topic="f", fields=FeatureFields(id="id", time="ts", features="f")),
    columns={"x": "numeric", "c": "categorical"},
)


def test_features_in_a_stream_of_their_own_are_counted_in_their_columns_alone() -> None:
    it = config(APART)
    catalog = Publications()
    layouts = {"m": catalog.add_layout(LAYOUT)}
    counter = counting(it, catalog=catalog)
    named = intent(config=config_id(it), layouts=layouts, to=9)
    predictions = [
        Record(i, json.dumps({"id": i, "ts": NOW, "v": "1", "s": 0.9, "y": 1, "f": {"x": 5.0}}).encode())
        for i in range(3)
    ]
    features = [
        Record(i, json.dumps({"id": i, "ts": NOW, "f": f}).encode())
        for i, f in enumerate([{"x": 0.5}, {"x": 2, "c": "de"}])
    ]
    late = Record(2, json.dumps({"id": 9, "ts": NOW - 700_000, "f": {}}).encode())
    told, seen = (
        counter.count(named, ("t", 0), predictions),
        counter.count(named, ("f", 0), [*features, late, Record(3, b"{}")]),
    )
    (first,), (second,) = ([unpack_counts(p.counts) for p in c.panes] for c in (told, seen))
    assert (first.rows, second.rows) == (3, 0)
    assert seen.told == {"m": {"features": 2, "features_late": 1}}
    assert (seen.late, [reason for _, reason, _ in seen.dead]) == ({"m": 1}, ["missing_field"])
    whole = merge([first, second])
    assert stream_counts([whole]).rows == 3
    assert int(outcome(whole).cells[LABELS]) == 3
    dense = columns(whole, LAYOUT)
    assert {name: of.rows for (_, name), of in dense.items()} == {"x": 2, "c": 2, "score": 3}
    assert dense["features", "x"].counts.tolist() == [0, 1, 1]
    assert (dense["features", "c"].counts.tolist(), dense["features", "c"].missing) == ([1], 1)
    assert dense["predictions", "score"].counts.tolist() == [0, 3]


def test_features_are_learnt_from_their_own_stream_before_there_is_a_layout() -> None:
    it = config(APART)
    named = intent(config=config_id(it), to=9)
    event_ = Record(0, json.dumps({"id": 1, "ts": NOW, "f": {"x": 0.5, "new": 3}}).encode())
    (pane,) = counting(it).count(named, ("f", 0), [event_]).panes
    assert unpack_counts(pane.counts).names == ("f:c", "f:new", "f:x") or unpack_counts(pane.counts).names == (
        "f:new",
        "f:x",
    )
