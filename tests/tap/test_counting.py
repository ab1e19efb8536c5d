"""Blocks of real events: what is counted under an intent, and that it is a pure function of it."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from connectors.memory import MemoryLabelStore
from detectors.counts import merge, outcome
from detectors.layouts import CORRECT, LABELS, RAW_ID, CategoricalLayout, Layout, NumericLayout
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model, Time, WindowSpec
from stream_monitor.config.plain import config_id
from stream_monitor.errors import StateError, Unreachable
from stream_monitor.intents import Intent
from stream_monitor.interfaces import Label, LabelAnswer
from stream_monitor.packing import unpack_counts
from stream_monitor.publications import Publications, blob_messages, config_blob
from stream_monitor.tap.blocks import Counted
from stream_monitor.tap.counting import BlockCounting
from tests.tap.twin import Record

NOW = 1_700_000_000_000
MODEL = Model(
    topic=("p",),
    task="binary",
    fields=Fields(id="id", time="ts", version="v", features="f", prediction="y", score="s"),
    labels=Labels(topic="l", fields=LabelFields(id="id", label="y", time="ts")),
    columns={"x": "numeric"},
    segments=("c",),
    pane=10_000,
    window=WindowSpec(size=60_000),
)
CONFIG = Config(models={"m": MODEL}, time=Time(allowed_lateness=60_000))
LAYOUT = Layout(
    pane_ms=10_000,
    features={"x": NumericLayout(edges=(0.0, 1.0)), "c": CategoricalLayout(categories=("de",))},
    predictions={},
)


def counting(config: Config = CONFIG, store: Any = None, catalog: Publications | None = None) -> BlockCounting:
    return BlockCounting(config, catalog=catalog or Publications(), label_store=store or MemoryLabelStore())


def intent(**changes: Any) -> Intent:
    plain = Intent(
        topic_id="id",
        epoch=1,
        n=1,
        from_=0,
        to=1_000,
        at_ms=NOW,
        max_event_ms=None,
        active_ms=NOW,
        partitions=1,
        partitions_first=1,
        part_bytes=800_000,
        config=config_id(CONFIG),
    )
    return msgspec.structs.replace(plain, **changes)


def prediction(offset: int, id: str, *, ago_ms: int = 0, y: int = 1, c: str = "de", **more: Any) -> Record:
    event = {"id": id, "ts": NOW - ago_ms, "v": "1", "f": {"x": 0.5, "c": c}, "y": y, "s": 0.9, **more}
    return Record(offset, json.dumps(event).encode())


def label(offset: int, id: str, *, ago_ms: int = 0, y: int = 1) -> Record:
    return Record(offset, json.dumps({"id": id, "ts": NOW - ago_ms, "y": y}).encode())


def outcomes(counted: Sequence[Counted], segment: str = "all") -> tuple[int, int]:
    """(labels, correct) in all panes of a segment."""
    found = outcome(merge(unpack_counts(p.counts) for c in counted for p in c.panes if p.segment == segment))
    return int(found.cells[LABELS]), int(found.cells[CORRECT])


def test_events_dead_letters_late_ones_and_the_watermark() -> None:
    records = [
        prediction(0, "a"),
        Record(1, b"no"),
        prediction(4, "b", ago_ms=65_001),  # later than allowed, by a millisecond
        prediction(5, "c", ago_ms=65_000),
        prediction(6, "d", ago_ms=-3_600_001),  # the future
        Record(9, None),
    ]
    counted = counting().count(intent(), ("p", 0), records)
    assert [(i, reason) for i, reason, _ in counted.dead] == [(1, "not_json"), (4, "future_time"), (5, "null_value")]
    assert (counted.events, counted.late) == ({"m": 3}, {"m": 1})
    assert (counted.max_event_ms, counted.watermark_ms) == (NOW, NOW - 5_000)
    assert counted.home == "m"
    rows = {(p.segment, p.start_ms): unpack_counts(p.counts).rows for p in counted.panes if not p.late}
    start = NOW // 10_000 * 10_000
    assert rows == {(s, t): 1 for s in ("all", "c=de") for t in (start, (NOW - 65_000) // 10_000 * 10_000)}
    assert {p.layout for p in counted.panes} == {RAW_ID}


def test_the_greatest_time_before_the_block_decides_what_is_late() -> None:
    records = [prediction(0, "a", ago_ms=70_000)]
    assert counting().count(intent(), ("p", 0), records).late == {}
    counted = counting().count(intent(max_event_ms=NOW), ("p", 0), records)
    assert counted.late == {"m": 1}
    assert counted.max_event_ms == NOW


@pytest.mark.parametrize(
    ("records", "active_ms", "idle"),
    [
        ([], NOW - 29_999, False),
        ([], NOW - 30_000, True),
        ([prediction(0, "a")], NOW - 60_000, False),
        ([Record(0, b"no")], NOW - 60_000, True),  # what cannot be read is no event
    ],
)
def test_idleness_follows_from_the_intent(records: list[Record], active_ms: int, idle: bool) -> None:
    assert counting().count(intent(active_ms=active_ms), ("p", 0), records).idle is idle


def test_a_block_is_counted_as_its_intent_says_whatever_holds_today() -> None:
    catalog = Publications()
    layout = catalog.add_layout(LAYOUT)
    then = counting(catalog=catalog)
    then.learnt("m", layout)
    named = intent(layouts=then.layouts("p"))
    assert named.layouts == {"m": layout}
    before = then.count(named, ("p", 0), [prediction(0, "a")])
    assert {p.layout for p in before.panes} == {layout}

    changed = replace(CONFIG, models={"m": replace(MODEL, pane=5_000, fields=replace(MODEL.fields, prediction="z"))})
    for key, value in blob_messages(config_blob(CONFIG)):
        catalog.take("configs", key, value)
    now = counting(changed, catalog=catalog)
    assert now.config_id() != named.config
    after = now.count(named, ("p", 0), [prediction(0, "a")])
    assert msgspec.msgpack.encode(list(after.panes)) == msgspec.msgpack.encode(list(before.panes))
    other = now.count(intent(config=now.config_id()), ("p", 0), [prediction(0, "a")])
    assert [reason for _, reason, _ in other.dead] == ["missing_field"]


def test_what_an_intent_names_must_be_known() -> None:
    with pytest.raises(StateError, match="configuration ffff"):
        counting().count(intent(config="ffff"), ("p", 0), [])
    with pytest.raises(StateError, match="layout ffff"):
        counting().count(intent(layouts={"m": "ffff"}), ("p", 0), [])


def test_labels_before_and_after_their_predictions_count_once() -> None:
    store = MemoryLabelStore()
    it = counting(store=store)
    first = it.count(intent(), ("l", 0), [label(0, "a"), label(1, "b", y=0)])
    assert (first.details, first.panes) == ({"waiting": 2}, [])
    second = it.count(intent(), ("p", 0), [prediction(0, "a", c="fr"), prediction(1, "c")])
    assert (outcomes([second]), outcomes([second], "c=fr"), outcomes([second], "c=de")) == ((1, 1), (1, 1), (0, 0))
    assert (first.told, second.told) == ({"m": {"labels_waiting": 2}}, {"m": {"labels_waiting_joined": 1}})
    third = it.count(
        intent(n=2, from_=2), ("l", 0), [label(2, "c", y=0), label(3, "a"), label(4, "a", y=0), label(5, "z")]
    )
    assert third.details == {"joined": 1, "duplicate": 1, "conflict": 1, "waiting": 1}
    assert outcomes([third]) == (1, 0)
    assert third.events == {"m": 4}
    assert third.watermark_ms == NOW - 5_000


def test_blocks_of_labels_made_again_are_the_same() -> None:
    store = MemoryLabelStore()
    it = counting(store=store)
    work = [
        (intent(), ("p", 0), [prediction(i, f"a{i}") for i in range(20)]),
        (intent(), ("l", 0), [label(i, f"a{i}", y=i % 2) for i in range(10, 30)]),
        (intent(n=2, from_=20), ("p", 0), [prediction(20 + i, f"a{20 + i}") for i in range(20)]),
        (intent(n=2, from_=30), ("l", 0), [label(30 + i, f"a{i}") for i in range(15)]),
    ]
    first = [it.count(*block) for block in work]
    again = [counting(store=store).count(*block) for block in work]  # another tap, the same store
    assert again == first
    assert outcomes(first)[0] == 30


def test_late_labels_are_counted_late_and_leave_no_trace() -> None:
    it = counting()
    it.count(intent(), ("p", 0), [prediction(0, "a", ago_ms=70_000), prediction(1, "b")])
    counted = it.count(intent(), ("l", 0), [label(0, "b"), label(1, "a", ago_ms=66_000), label(2, "a")])
    assert counted.late == {"m": 1}
    assert counted.details == {"joined": 2}  # the second label of `a` came in time


def test_any_order_and_any_cut_joins_the_same_pairs() -> None:
    for seed in range(20):
        r = random.Random(seed)
        sources: dict[str, list[Record]] = {
            "p": [prediction(i, f"a{i}") for i in range(30)],
            "l": [label(i, f"a{r.randrange(40)}") for i in range(40)],
        }
        r.shuffle(sources["p"])
        sources["p"] = [Record(i, rec.body) for i, rec in enumerate(sources["p"])]
        labelled = {json.loads(rec.body or b"")["id"] for rec in sources["l"]}
        it, made, n = counting(), [], Counter[str]()
        while any(sources.values()):
            topic = r.choice([t for t, left in sources.items() if left])
            size = r.randrange(1, 8)
            block, sources[topic] = sources[topic][:size], sources[topic][size:]
            n[topic] += 1
            arguments = (intent(n=n[topic], from_=block[0].at, to=block[-1].at + 1), (topic, 0), block)
            made.append(it.count(*arguments))
            if r.random() < 0.3:
                assert it.count(*arguments) == made[-1]
        assert outcomes(made)[0] == len(labelled & {f"a{i}" for i in range(30)})


class Gone(MemoryLabelStore):
    """A store that does not answer."""

    def labels(self, model: str, rows: Sequence[Label], ttl_ms: int) -> list[LabelAnswer]:
        raise ConnectionError("gone")


def test_a_store_that_does_not_answer_is_asked_again_later() -> None:
    with pytest.raises(Unreachable, match="label store: gone"):
        counting(store=Gone()).count(intent(), ("l", 0), [label(0, "a")])


def test_two_models_may_share_a_topic() -> None:
    twice = replace(CONFIG, models={"m": MODEL, "k": replace(MODEL, fields=replace(MODEL.fields, prediction="z"))})
    counted = counting(twice).count(intent(config=config_id(twice)), ("p", 0), [prediction(0, "a"), Record(1, b"")])
    assert counted.events == {"m": 1}
    assert [(i, reason) for i, reason, _ in counted.dead] == [(0, "missing_field"), (1, "not_json")]
    assert counted.home == "k"
