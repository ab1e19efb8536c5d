"""Which windows close, when, with what: on watermarks, in silence, and again when late events come."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.counts import columns, merge
from detectors.layouts import Layout, NumericLayout
from stream_monitor.config import LabelFields, Labels, WindowSpec
from stream_monitor.packing import pack_counts
from stream_monitor.state.memories import Pane
from stream_monitor.state.windows import QUIET, Sums, first_start, starts_of
from tests.fold.makers import LAYOUT, MODEL, SECOND, TIME, Event, Run, Tap, bodies, counts, seconds, spans, steady


def events(*at: float, **more: Any) -> list[Event]:
    return [Event(at=int(t * SECOND), **more) for t in at]


def test_a_window_closes_when_the_watermark_has_passed_its_end() -> None:
    """
    events      1  5    9 10
    window    [0         10)
    watermark             ^ closes here, not before
    """
    run, tap = Run(), Tap()
    assert spans(run.feed(tap.block(events(1, 5)))) == []
    assert spans(run.feed(tap.block(events(9.999)))) == []
    assert spans(run.feed(tap.block(events(10)))) == [(0, 10, 0, 3)]


def test_the_slowest_partition_decides() -> None:
    """
    partition 0   1        12       25
    partition 1      3   9             11
    closes                              [0, 10) and no more: 11 is the least watermark
    """
    run, a, b = Run(), Tap(partitions=2), Tap(partition=1, partitions=2)
    assert spans(run.feed(a.block(events(1, 12)), b.block(events(3, 9)), a.block(events(25)))) == []
    assert spans(run.feed(b.block(events(11)))) == [(0, 10, 0, 3)]


def test_a_partition_not_heard_of_holds_everything() -> None:
    """
    partition 0   1 ... 100
    partition 1   (never)    empty, busy    idle at 99    idle at 100
    closes                   nothing        nothing       [0, 10) ...
    """
    run, a, b = Run(), Tap(partitions=2), Tap(partition=1, partitions=2)
    assert spans(run.feed(a.block(events(1, 100)))) == []
    # An empty block of a partition that never had an event, and is not idle yet, says nothing of its time.
    assert spans(run.feed(b.block())) == []
    # Once idle, as of the time of what the other has read, it holds nothing back.
    assert spans(run.feed(b.block(idle=True, at=99 * SECOND))) == []
    assert spans(run.feed(b.block(idle=True, at=100 * SECOND)))[0] == (0, 10, 0, 1)


def test_labels_have_a_watermark_of_their_own() -> None:
    """
    predictions   1      30
    labels                     11
    closes                      [0, 10): the least of both
    """
    labels = Labels(topic="labels", fields=LabelFields(id="id", label="y"))
    run, tap, told = Run(model=steady(labels=labels)), Tap(), Tap(topic="labels")
    assert spans(run.feed(tap.block(events(1, 30)))) == []
    assert spans(run.feed(told.block(events(11)))) == [(0, 10, 0, 1)]


def test_when_all_are_idle_time_goes_on_at_the_pace_of_the_blocks() -> None:
    """
    last event at 9, seen by a block at wall time 100; idle blocks follow
    wall         100        101     131
    watermark      9         10      40
    """
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, 9), at=100 * SECOND))
    assert spans(run.feed(tap.block(at=101 * SECOND, idle=True))) == [(0, 10, 0, 2)]
    assert spans(run.feed(tap.block(at=131 * SECOND, idle=True))) == [(10, 20, 0, 0), (20, 30, 0, 0), (30, 40, 0, 0)]


def test_silence_is_an_ordinary_verdict() -> None:
    """
    wall time    1            25, idle
    events       1
    windows    [0       10) [10      20)  closed by silence, without a row
    verdicts     unknown      unknown: no data is never a pass
    """
    run, tap = Run(), Tap()
    made = run.feed(tap.block(events(1)), tap.block(at=25 * SECOND, idle=True))
    last = bodies(made, "verdict")[-1]
    assert (last["start"], last["level"], last["rows"]) == ("1970-01-01T00:00:10Z", "unknown", 0)
    assert last["reason"] == "0 labels, at least 5 needed"


def test_late_events_open_a_window_again() -> None:
    """
    block 1      1  2                  block 3      3
    window     [0        10) revision 0            revision 1, all three events
    watermark                25                    25 (lateness 60: 3 is late, but allowed)
    """
    run, tap = Run(), Tap()
    assert spans(run.feed(tap.block(events(1, 2, 25)))) == [(0, 10, 0, 2), (10, 20, 0, 0)]
    assert spans(run.feed(tap.block(events(3)))) == [(0, 10, 1, 3)]
    ids = [v["id"] for v in bodies(run.outputs, "verdict") if v["start"] == "1970-01-01T00:00:00Z"]
    assert len(set(ids)) == 2


def test_several_late_events_of_one_block_are_one_revision() -> None:
    """
    block 1      1              25         block 2      3 4 5        14
    windows    [0      10) 0  [10  20) 0              [0      10) 1  [10  20) 1
    """
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, 25)))
    assert spans(run.feed(tap.block(events(3, 4, 5, 14)))) == [(0, 10, 1, 4), (10, 20, 1, 1)]


def test_a_partition_that_was_idle_too_long_finds_its_windows_gone() -> None:
    """
    partition 0   1                    200      watermark 200, lateness 60: before 140 nothing can change
    partition 1   1  idle ............      2   counted apart, in no window
    """
    run, a, b = Run(), Tap(partitions=2), Tap(partition=1, partitions=2)
    run.feed(a.block(events(1)), b.block(events(1)), a.block(events(200)), b.block(idle=True, at=200 * SECOND))
    assert spans(run.feed(b.block(events(2)))) == []
    counters = bodies(run.outputs + run.feed(b.block(at=300 * SECOND, idle=True)), "counters")[-1]
    assert counters["late_after_idle"] == {"m": 1}
    assert counters["events"] == {"m": {"1": 4}}


def test_when_traffic_comes_back_to_all_partitions_at_once_none_closes_the_windows_of_another() -> None:
    """
    at            0      40     41                  42
    partition 0   1      idle   50 ... 200          201
    partition 1   1      idle          50 ... 200
    closes                             all before 200, with the events of both
    """
    run, a, b = Run(), Tap(partitions=2), Tap(partition=1, partitions=2)
    run.feed(a.block(events(1), at=0), b.block(events(1), at=0))
    run.feed(a.block(at=40 * SECOND, idle=True), b.block(at=40 * SECOND, idle=True))
    burst = events(*range(50, 201, 10))
    assert spans(run.feed(a.block(burst, at=41 * SECOND))) == []
    made = run.feed(b.block(burst, at=41 * SECOND), a.block(events(201), at=42 * SECOND))
    assert [w for w in spans(made) if w[0] >= 50] == [(s, s + 10, 0, 2) for s in range(50, 200, 10)]
    assert bodies(run.outputs, "counters")[-1]["late_after_idle"] == {}


def test_silent_partitions_of_two_taps_hold_nothing_up_for_long() -> None:
    """Each speaks at its own times, and what was read before the last of them spoke can close."""
    run, a = Run(), Tap(partitions=3)
    b, c = Tap(partition=1, partitions=3), Tap(partition=2, partitions=3)
    run.feed(b.block(idle=True, at=0), c.block(idle=True, at=0), a.block(events(1), at=0))
    run.feed(b.block(idle=True, at=10 * SECOND), a.block(events(25), at=11 * SECOND))
    assert spans(run.feed(b.block(idle=True, at=13 * SECOND), a.block(events(60), at=14 * SECOND))) == []
    assert spans(run.feed(c.block(idle=True, at=15 * SECOND))) == [(0, 10, 0, 1), (10, 20, 0, 0)]


def test_a_new_key_is_closed_from_its_first_window_on() -> None:
    """A segment that is first seen in late events still gets its window, and those that follow."""
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, 35)))
    made = run.feed(tap.block(events(12, segments=("country=de",))))
    assert spans(made, "country=de") == [(10, 20, 0, 1), (20, 30, 0, 0)]
    assert spans(made) == [(10, 20, 1, 1)]


def test_a_key_sleeps_after_a_hundred_empty_windows_and_wakes_with_an_event() -> None:
    """An event of 1970 before one of today: fifty years of nothing are not fifty years of windows."""
    today = 1_700_000_000 * SECOND
    run, tap = Run(), Tap()
    made = spans(run.feed(tap.block([Event(at=1000), Event(at=today)])))
    assert len(made) == 1 + QUIET
    made = spans(run.feed(tap.block([Event(at=today + 20 * SECOND)])))
    assert made == [(today // 1000, today // 1000 + 10, 0, 1), (today // 1000 + 10, today // 1000 + 20, 0, 0)]


def test_a_version_without_events_is_retired_when_there_is_a_newer_one() -> None:
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, version="1")))
    made = run.feed(tap.block([Event(at=t * SECOND, version="2") for t in range(10, 101, 10)]))
    of = [(w["version"], seconds(w["start"])) for w in bodies(made, "window")]
    assert [s for v, s in of if v == "1"] == [0, 10, 20, 30]  # its own, then retire_after empty ones
    assert [s for v, s in of if v == "2"] == list(range(10, 100, 10))


def test_sliding_windows() -> None:
    """
    size 20, slide 10, events at 5 and 15
    [-10      10)  1 event
         [0        20)  2
              [10       30)  1
    """
    run, tap = Run(model=steady(window=WindowSpec(size=20 * SECOND, slide=10 * SECOND))), Tap()
    made = run.feed(tap.block(events(5, 15, 40)))
    assert spans(made) == [(-10, 10, 0, 1), (0, 20, 0, 2), (10, 30, 0, 1), (20, 40, 0, 0)]
    assert spans(run.feed(tap.block(events(16)))) == [(0, 20, 1, 3), (10, 30, 1, 2)]


def test_windows_by_rows_are_consecutive_panes() -> None:
    """
    panes of 1 s with 3 events each, 5 rows a window
    0    1    2    3    4    5
    [3 + 3   )[3 + 3   )[...
    """
    run, tap = Run(model=steady(window=WindowSpec(rows=5))), Tap()
    made = [s for t in range(6) for s in spans(run.feed(tap.block(events(t, t + 0.2, t + 0.4))))]
    assert made == [(0, 2, 0, 6), (2, 4, 0, 6)]
    # Late events re-open the window that holds them; borders stay.
    assert spans(run.feed(tap.block(events(2.5)))) == [(2, 4, 1, 7)]
    assert spans(run.end()) == [(4, 6, 0, 6)]


def test_the_end_of_the_files_closes_what_holds_events_and_no_more() -> None:
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, 14, segments=("country=de",))))
    assert [(w["segment"], seconds(w["start"])) for w in bodies(run.end(), "window")] == [
        ("all", 10),
        ("country=de", 10),
    ]
    assert spans(run.end()) == []


def test_a_window_has_the_shape_of_the_contract() -> None:
    run, tap = Run(), Tap()
    given = [Event(at=1000, x=0.05), Event(at=2000, x=0.95), Event(at=3000, x=0.95), Event(at=4000, x=None)]
    made = run.feed(tap.block([*given, Event(at=10_000)]))
    window = bodies(made, "window")[0]
    assert window == {
        "model": "m",
        "version": "1",
        "segment": "all",
        "start": "1970-01-01T00:00:00Z",
        "end": "1970-01-01T00:00:10Z",
        "revision": 0,
        "rows": 4,
        "late_rows": 0,
        "labels": 0,
        "feature_rows": 0,
        "columns": {
            "x": {
                "type": "numeric",
                "layout": LAYOUT.id,
                "edges": [i / 10 for i in range(1, 10)],
                "counts": [1, 0, 0, 0, 0, 0, 0, 0, 0, 2],
                "missing": 1,
                "invalid": 0,
                "other": 0,
                "sum": 1.95,
                "mean": 0.65,
                "min": 0.05,
                "max": 0.95,
            }
        },
        "predictions": {},
    }


def test_a_window_over_two_layouts_has_rows_and_labels_but_no_columns() -> None:
    other = Layout(pane_ms=SECOND, features={"x": NumericLayout(edges=(0.5,))}, predictions={})
    run, tap = Run(), Tap()
    run.catalog.add_layout(other)
    first = tap.block([Event(at=1000, right=True), Event(at=12_000)])
    second = tap.block([Event(at=2000, right=False)])
    recounted = msgspec.structs.replace(second.panes[0], layout=other.id)
    window = bodies(run.feed(first, msgspec.structs.replace(second, panes=(recounted,))), "window")[-1]
    assert (window["rows"], window["labels"], window["columns"]) == (2, 2, {})


def test_events_before_the_configuration_are_not_lost() -> None:
    """A tap may be up before the first worker: the log then begins with its bundles."""
    run, tap = Run(), Tap()
    config = run.config()
    early = Run.__new__(Run)
    early.__dict__.update(run.__dict__)
    early.state, early.outputs = type(run.state).empty(0, 1), []
    assert spans(early.feed(tap.block(events(1, 5)), tap.block(events(12)))) == []
    assert spans(early.feed(config)) == [(0, 10, 0, 2)]


def test_windows_of_another_length_begin_where_the_old_counts_end() -> None:
    run, tap = Run(), Tap()
    run.feed(tap.block(events(1, 12)))
    run.model = replace(MODEL, window=WindowSpec(size=15 * SECOND))
    run.feed(run.config())
    made = run.feed(tap.block(events(14, 31, 33)), tap.block(events(48)))
    assert spans(made) == [(30, 45, 0, 2)]


@pytest.mark.parametrize(("size", "slide"), [(1, 1), (20, 10), (15, 5)])
def test_every_unit_is_in_size_by_slide_windows(size: int, slide: int) -> None:
    for unit in range(-40, 40, slide):
        starts = starts_of(unit, size, slide)
        assert len(starts) == size // slide
        assert starts[0] == first_start(unit, size, slide)
        assert all(s <= unit < s + size and s % slide == 0 for s in starts)


@given(
    st.lists(st.tuples(st.integers(-20, 40), st.floats(0, 1)), max_size=40),
    st.integers(-20, 40),
    st.integers(0, 30),
    st.lists(st.integers(-20, 40), max_size=5),
)
@settings(max_examples=50, deadline=None)
def test_sums_are_those_of_the_units_after_any_change(
    given: list[tuple[int, float]], start: int, length: int, changes: list[int]
) -> None:
    units: dict[int, Pane] = {}
    sums = Sums(units, 10)

    def add(unit: int, x: float) -> None:
        units.setdefault(unit * 10, Pane()).add(LAYOUT.id, pack_counts(counts([Event(at=0, x=x)])))
        sums.changed(unit * 10)

    def check() -> None:
        total = sums.total(start * 10, (start + length) * 10)
        plain = merge(p.counts()[LAYOUT.id] for u, p in units.items() if start * 10 <= u < (start + length) * 10)
        assert total.get(LAYOUT.id, merge(())) == plain

    for unit, x in given:
        add(unit, x)
    check()
    for unit in changes:
        add(unit, 0.25)
        check()


def test_many_partial_sums_are_not_many_additions() -> None:
    """A window of 512 units that slides by one: some ten sums a window, not 512."""
    units = {u: Pane() for u in range(1024)}
    for pane in units.values():
        pane.add(LAYOUT.id, pack_counts(counts([Event(at=0)])))
    sums = Sums(units, 1)
    assert sums.total(0, 512)[LAYOUT.id].rows == 512
    before = len(sums._nodes)
    for start in range(1, 257):
        assert sums.total(start, start + 512)[LAYOUT.id].rows == 512
    assert len(sums._nodes) - before < 2 * 257


def test_counts_of_the_makers_are_right() -> None:
    dense = columns(counts([Event(at=0, x=0.1), Event(at=0, x=0.05)]), LAYOUT)["features", "x"]
    assert dense.counts.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]
    assert np.isclose(dense.sum, 0.15)
    assert TIME.allowed_lateness == 60 * SECOND


def test_values_of_a_segment_beyond_the_limit_are_counted_together() -> None:
    """Two values are kept; a third and a fourth go to `other`, in this window and in the next."""
    run, tap = Run(model=steady(segments=("country",), max_segments=2)), Tap()
    for second in (1, 11):
        for value in ("de", "fr", "nl", "pl", "de", "null"):
            run.feed(tap.block(events(second, segments=(f"country={value}",))))
    run.feed(tap.block(events(21)))
    rows = {(w["segment"], seconds(w["start"])): w["rows"] for w in bodies(run.outputs, "window")}
    own = {"country=de": 2, "country=fr": 1, "country=other": 2, "country=null": 1, "all": 6}
    assert rows == {(segment, start): n for segment, n in own.items() for start in (0, 10)}
