"""Topics by pattern and features in a stream of their own: what windows wait for, and which rows their columns have."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from detectors.counts import Counts
from detectors.layouts import FEATURE_ROWS, LABEL_CELLS
from stream_monitor.config import FeatureFields, Features, MonitorSpec
from stream_monitor.counting.panes import of_one_stream
from stream_monitor.entries import Bundle, Command, PaneRecord
from stream_monitor.packing import pack_counts, unpack_counts
from stream_monitor.state.concerns import topics_of
from tests.fold.makers import LAYOUT, SECOND, Event, Run, Tap, bodies, counts, seconds, spans, steady

PATTERN = steady(topic=("^t",))


def told(run: Run, topics: list[str]) -> None:
    """The configuration again, with the topics that its patterns stand for now."""
    command = run.config()
    run.feed(Command(command.id, "config", 0, "worker", {**command.body, "topics": {"m": topics}}))


def test_a_topic_that_was_found_at_the_start_is_waited_for() -> None:
    run, a, b = Run(model=PATTERN), Tap(topic="t1"), Tap(topic="t2")
    told(run, ["t1", "t2"])
    assert not spans(run.feed(a.block([Event(at=SECOND)]), a.block([Event(at=25 * SECOND)])))
    made = run.feed(b.block([Event(at=2 * SECOND)]), b.block([Event(at=15 * SECOND)]))
    assert spans(made) == [(0, 10, 0, 2)]


def test_a_topic_that_comes_up_later_is_waited_for_from_its_first_block_on() -> None:
    """t1   1 s          12 s -> [0, 10) closes    25 s: [10, 20) would close
    t2                            5 s: re-opens        13 s        22 s -> [10, 20) closes
    """
    run, a, b = Run(model=PATTERN), Tap(topic="t1"), Tap(topic="t2")
    told(run, ["t1"])
    assert spans(run.feed(a.block([Event(at=SECOND)]), a.block([Event(at=12 * SECOND)]))) == [(0, 10, 0, 1)]
    assert spans(run.feed(b.block([Event(at=5 * SECOND)]))) == [(0, 10, 1, 2)]
    assert topics_of(run.state, "m") == ["t1", "t2"]
    assert not spans(run.feed(a.block([Event(at=25 * SECOND)]), b.block([Event(at=13 * SECOND)])))
    assert spans(run.feed(b.block([Event(at=22 * SECOND)]))) == [(10, 20, 0, 2)]


def test_a_topic_that_was_deleted_is_waited_for_until_a_configuration_lacks_it() -> None:
    run, a, b = Run(model=PATTERN), Tap(topic="t1"), Tap(topic="t2")
    run.feed(a.block([Event(at=SECOND)]), b.block([Event(at=SECOND)]))
    assert not spans(run.feed(a.block([Event(at=12 * SECOND)])))
    told(run, ["t1"])
    assert spans(run.feed(a.block([Event(at=13 * SECOND)]))) == [(0, 10, 0, 2)]


def test_what_was_heard_of_is_part_of_the_state() -> None:
    run = Run(model=PATTERN)
    run.feed(Tap(topic="t1").block([Event(at=SECOND)]), Tap(topic="other").block([Event(at=SECOND)]))
    again = type(run.state).restore(run.state.head(), run.state.records(), run.catalog)
    assert topics_of(again, "m") == ["t1"]


APART = steady(
    features=Features(topic="f", fields=FeatureFields(features="f")),
    monitors=(
        MonitorSpec(metric="missing_rate", threshold=0.5),
        MonitorSpec(metric="late_rate"),
        MonitorSpec(metric="silence"),
    ),
    min_rows=2,
)


def as_stream(bundle: Bundle, *, features: bool) -> Bundle:
    """The bundle as one of a model whose features come apart: of the one stream or the other."""

    def changed(pane: PaneRecord, of: Counts) -> PaneRecord:
        return msgspec.structs.replace(pane, counts=pack_counts(of_one_stream(of, LAYOUT, feature_stream=features)))

    return msgspec.structs.replace(bundle, panes=tuple(changed(p, unpack_counts(p.counts)) for p in bundle.panes))


def two_streams(run: Run) -> list[Any]:
    predictions, features = Tap(), Tap(topic="f")
    run.feed(as_stream(predictions.block([Event(at=s * SECOND) for s in (1, 2, 3)]), features=False))
    some = [Event(at=s * SECOND, x=x) for s, x in ((1, 0.5), (2, None), (3, 0.7), (4, 0.1), (5, None))]
    run.feed(as_stream(features.block(some), features=True))
    made = run.feed(as_stream(predictions.block([Event(at=21 * SECOND)]), features=False))
    assert not spans(made)  # the features have not come so far
    return run.feed(as_stream(features.block([Event(at=12 * SECOND)]), features=True))


def test_windows_wait_for_the_feature_stream_and_count_its_rows_apart() -> None:
    run = Run(model=APART)
    (window,) = [w for w in bodies(two_streams(run), "window") if w["segment"] == "all"]
    assert (seconds(window["end"]), window["rows"], window["feature_rows"]) == (10, 3, 5)
    x = window["columns"]["x"]
    assert sum(x["counts"]) + x["missing"] + x["invalid"] + x["other"] == 5
    assert x["missing"] == 2


def test_columns_of_the_feature_stream_are_judged_by_their_own_rows() -> None:
    run = Run(model=APART)
    verdicts = {v["metric"]: v for v in bodies(two_streams(run), "verdict") if v["segment"] == "all"}
    assert (verdicts["missing_rate"]["value"], verdicts["missing_rate"]["rows"]) == (0.4, 5)
    assert (verdicts["late_rate"]["value"], verdicts["late_rate"]["threshold"]) == (0.0, 0.05)
    assert (verdicts["silence"]["value"], verdicts["silence"]["level"]) == (0.0, "ok")


def test_a_silent_partition_is_seen_at_the_end_of_a_window() -> None:
    model = steady(monitors=(MonitorSpec(metric="silence", threshold=10),), min_rows=1)
    run, a, b = Run(model=model), Tap(partitions=2), Tap(partition=1, partitions=2)
    run.feed(a.block([Event(at=SECOND)]), b.block([Event(at=SECOND)]))
    run.feed(b.block(idle=True, at=90 * SECOND), a.block([Event(at=80 * SECOND)], at=90 * SECOND))
    found = {
        seconds(v["end"]): (v["value"], v["level"]) for v in bodies(run.outputs, "verdict") if v["segment"] == "all"
    }
    ooo = run.time.out_of_orderness / 1000
    assert found[10] == (9.0 - ooo, "ok")
    assert found[30] == (29.0 - ooo, "drift")


def test_features_that_come_after_their_window_is_gone_are_counted() -> None:
    run = Run(model=APART)
    two_streams(run)
    late = Tap(topic="f", n=2, to=6, mark=12 * SECOND)
    far = 4_000 * SECOND
    run.feed(as_stream(Tap(n=2, to=4).block([Event(at=far)]), features=False), late.block([], idle=True, at=far))
    run.feed(as_stream(late.block([Event(at=SECOND)]), features=True))
    assert run.state.head_state.counters.late_after_idle == {"m": 1}


def test_marks_of_feature_events_are_no_rows() -> None:
    apart = of_one_stream(counts([Event(at=0), Event(at=1, right=True)]), LAYOUT, feature_stream=True)
    assert apart.rows == 0
    assert dict(zip(apart.cells.tolist(), apart.values.tolist(), strict=True))[FEATURE_ROWS] == 2
    assert np.count_nonzero(apart.cells >= LABEL_CELLS) > 1
