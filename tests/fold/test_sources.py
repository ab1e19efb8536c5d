"""Every block once: duplicates are dropped, gaps and overlaps stop the partition, a new epoch replaces the old."""

from __future__ import annotations

import msgspec
import pytest

from detectors.counts import ZERO
from stream_monitor.config import LabelFields, Labels
from stream_monitor.entries import Bundle, Entry, PaneRecord, partition_of
from stream_monitor.fold.fold import EARLY, State, step
from stream_monitor.packing import pack_counts
from tests.fold.makers import SECOND, Event, MemoryCatalog, Run, Tap, bodies, spans, steady


def blocks(n: int) -> list[Bundle]:
    tap = Tap()
    return [tap.block([Event(at=t * SECOND)]) for t in range(n)]


def test_a_block_that_comes_again_is_dropped_and_counted() -> None:
    run, log = Run(), blocks(25)
    run.feed(*log[:5], *log[:5], *log[3:])
    assert spans(run.outputs) == [(0, 10, 0, 10), (10, 20, 0, 10)]
    assert bodies(run.outputs, "counters")[-1]["duplicate_blocks"] == 7
    assert not run.state.stopped


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"n": 4}, "block 4"),  # block 3 is missing
        ({"from_": 1}, "[1, 3)"),  # an event twice
        ({"from_": 3}, "[3, 3)"),  # an event missing
    ],
)
def test_what_cannot_happen_stops_the_partition(change: dict[str, int], what: str) -> None:
    run, log = Run(), blocks(4)
    made = run.feed(*log[:2], msgspec.structs.replace(log[2], **change))
    assert what in run.state.stopped
    fired = bodies(made, "alert")[-1]
    assert (fired["group"], fired["state"], fired["severity"]) == ("stream", "firing", "critical")
    assert fired["segment"] == "sources"  # a window's stream alert of the same version is another alert
    assert what in fired["reason"]
    assert bodies(made, "counters")[-1]["overlap_blocks"] == 1
    # Nothing is folded any more, not even what would fit.
    assert run.feed(log[2]) == []


def test_a_new_epoch_begins_with_a_block_one_from_anywhere_and_tells_why() -> None:
    run, log = Run(), blocks(3)
    again = Tap(epoch=2, to=1_000)
    made = run.feed(*log, again.block([Event(at=4 * SECOND)], alarm="topic recreated"))
    assert [a["state"] for a in bodies(made, "alert")] == ["pending", "firing"]
    assert bodies(made, "alert")[-1]["reason"] == "t/0: topic recreated"
    # Blocks of the old epoch, from a tap that slept, are duplicates.
    old = msgspec.structs.replace(log[2], n=4, from_=3, to=4)
    run.feed(old)
    assert not run.state.stopped
    made = run.feed(again.block([Event(at=12 * SECOND)]))
    assert spans(made) == [(0, 10, 0, 4)]


@pytest.mark.parametrize(
    ("topic_id", "reason"), [("other", "topic recreated"), ("id", "the group's committed offsets were lost")]
)
def test_an_epoch_that_looked_like_a_first_start_to_the_tap_is_told_of(topic_id: str, reason: str) -> None:
    run, log = Run(), blocks(1)
    fresh = Tap(epoch=2).block([Event(at=4 * SECOND)])
    made = run.feed(
        *log, msgspec.structs.replace(fresh, source=msgspec.structs.replace(fresh.source, topic_id=topic_id))
    )
    assert bodies(made, "alert")[-1]["reason"] == f"t/0: {reason}"


def test_the_alert_about_a_source_resolves_after_quiet_windows() -> None:
    run, tap = Run(), Tap()
    run.feed(tap.block([Event(at=SECOND)], alarm="offset expired"))
    made = [a for t in (11, 21, 31) for a in bodies(run.feed(tap.block([Event(at=t * SECOND)])), "alert")]
    assert [(a["state"], a["reason"]) for a in made] == [("resolved", "nothing more for 2 windows")]


def test_a_new_epoch_that_begins_in_the_middle_cannot_happen() -> None:
    run, log = Run(), blocks(3)
    run.feed(*log, Tap(epoch=2, n=5, to=7).block())
    assert "epoch 2 begins with block 6" in run.state.stopped


def test_a_log_whose_beginning_has_expired_is_taken_up_where_it_begins() -> None:
    run, log = Run(), blocks(5)
    run.feed(*log[3:])
    assert not run.state.stopped


def in_parts(bundle: Bundle, panes: list[tuple[PaneRecord, ...]]) -> list[Bundle]:
    return [
        msgspec.structs.replace(bundle, part=i, parts=len(panes), panes=p, dead={"not_json": 2} if i == 0 else {})
        for i, p in enumerate(panes)
    ]


def test_parts_are_applied_together_when_all_are_in() -> None:
    tap = Tap()
    whole = tap.block([Event(at=1000), Event(at=2000), Event(at=15_000)])
    after = tap.block([Event(at=16_000)])
    first, second, third = in_parts(whole, [(p,) for p in whole.panes])
    run = Run()
    assert spans(run.feed(first, third, first)) == []  # one is missing, one came twice
    assert spans(run.feed(second)) == [(0, 10, 0, 2)]
    run.feed(first, second, third, after)  # the whole block again: made again after a crash
    counters = bodies(run.outputs, "counters")[-1]
    assert counters["events"] == {"m": {"1": 4}}
    assert counters["dead_letters"] == {"t": {"not_json": 2}}
    assert counters["duplicate_blocks"] == 4


def test_parts_of_an_epoch_that_ended_are_forgotten() -> None:
    run, tap, again = Run(), Tap(), Tap(epoch=2)
    half, _ = in_parts(whole := tap.block([Event(at=1000), Event(at=2000)]), [(), ()])
    both = in_parts(again.block([Event(at=3000), Event(at=4000)]), [whole.panes[:1], whole.panes[1:]])
    run.feed(half, *both, again.block([Event(at=11_000)]))
    assert spans(run.outputs) == [(0, 10, 0, 2)]
    assert run.state.parts == {}


def test_only_models_of_this_partition_are_kept() -> None:
    run = Run()
    partition = 1 - partition_of("m", 2)
    state = State.empty(partition, 2)
    catalog = MemoryCatalog()
    entries: list[Entry] = [run.config(), *blocks(12)]
    for entry in entries:
        state, outputs = step(state, entry, run.catalog)
        assert {o.kind for o in outputs} <= {"counters"}
    assert not state.models
    assert not state.panes
    # But it knows the sources: their watermarks are in every partition.
    assert bodies(outputs, "counters")[-1]["watermarks"] == {"t": {"0": 11_000}}
    assert catalog.layouts == {}


def test_late_events_are_counted_by_model_and_in_no_window() -> None:
    """Late predictions come as panes without counts, late labels as what is told of the model."""
    labels = Labels(topic="labels", fields=LabelFields(id="id", label="y"))
    run, tap, told = Run(model=steady(labels=labels)), Tap(), Tap(topic="labels")
    block = tap.block([Event(at=15_000), Event(at=SECOND)])
    late = PaneRecord("m", "1", "all", 1000, block.panes[0].layout, (1, 2), 1, pack_counts(ZERO))
    run.feed(msgspec.structs.replace(block, panes=(block.panes[1], late), late=1))
    run.feed(told.block(late=3, told={"m": {"labels_late": 3, "labels_conflict": 1}}, at=20 * SECOND))
    counters = bodies(run.outputs, "counters")[-1]
    assert counters["late"] == {"m": 4}
    assert counters["told"] == {"m": {"labels_late": 3, "labels_conflict": 1}}
    assert counters["events"] == {"m": {"1": 2}}
    assert list(run.state.panes["m", "1", "all"]) == [10_000]


def test_partitions_of_a_topic_that_was_deleted_hold_nothing_back() -> None:
    """Two partitions, then the topic is made again with one."""
    run, a, b = Run(), Tap(partitions=2), Tap(partition=1, partitions=2)
    run.feed(a.block([Event(at=SECOND)]), b.block([Event(at=SECOND)]))
    again = Tap(epoch=2)
    fresh = again.block([Event(at=12 * SECOND)])
    made = run.feed(msgspec.structs.replace(fresh, source=msgspec.structs.replace(fresh.source, topic_id="other")))
    assert spans(made) == [(0, 10, 0, 2)]


def test_panes_of_models_that_nobody_configures_are_kept_a_while_and_then_counted() -> None:
    run, tap, partition = Run(), Tap(), 1
    names = [f"m{i}" for i in range(40) if partition_of(f"m{i}", 2) == partition][:2]
    run.state = State.empty(partition, 2)
    run.feed(run.config())
    block = tap.block([Event(at=i * SECOND) for i in range(30)])
    early = tuple(msgspec.structs.replace(p, model=names[0], start_ms=i) for i in range(170) for p in block.panes)
    run.feed(msgspec.structs.replace(block, panes=early))
    counters = bodies(run.outputs, "counters")[-1]
    assert counters["dropped_panes"] == len(early) - len(run.state.early)
    assert len(run.state.early) == min(len(early), EARLY)


def test_offsets_without_a_record_are_counted_by_partition() -> None:
    run, tap = Run(), Tap()
    run.feed(tap.block([Event(at=SECOND)], holes=3), tap.block([Event(at=2 * SECOND)], holes=2))
    assert bodies(run.outputs, "counters")[-1]["offset_gaps"] == {"t": {"0": 5}}
