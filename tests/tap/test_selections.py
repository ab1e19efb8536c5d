"""Several models in one topic: each record is decoded for the models it is of, and is one dead letter if of none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.memory import MemoryLabelStore
from detectors.layouts import Layout, NumericLayout
from stream_monitor.config import Config, Fields, LabelFields, Labels, Model, Select, Time
from stream_monitor.config.plain import config_id
from stream_monitor.config.roles import roles_of
from stream_monitor.counting.batches import Batch, DeadLetter, Records
from stream_monitor.counting.plans import Plan
from stream_monitor.errors import StateError
from stream_monitor.formats import decode, selections
from stream_monitor.formats.selections import Selection
from stream_monitor.intents import to_metadata
from stream_monitor.packing import unpack_counts
from stream_monitor.publications import Publications
from stream_monitor.runs import Runs
from stream_monitor.tap.blocks import Counted
from stream_monitor.tap.counting import BlockCounting, _records
from tests.counting import writers
from tests.tap.test_counting import NOW, counting, intent
from tests.tap.twin import Record

FIELDS = Fields(id="id", time="ts", features="f")
BY_FIELD = Select(field="model.name")
BY_HEADER = Select(header="model")


def model(**changes: Any) -> Model:
    return replace(Model(topic=("t",), fields=FIELDS, columns={"x": "numeric"}), **changes)


def config(**models: Model) -> Config:
    return Config(models=models, time=Time(allowed_lateness=60_000))


def event(offset: int, name: Any, *, ago_ms: int = 0, header: str | None = None, **more: Any) -> Record:
    body = {"id": f"i{offset}", "ts": NOW - ago_ms, "f": {"x": 1.0}, "model": {"name": name}, **more}
    heads = (("model", header.encode()),) if header is not None else ()
    return Record(offset, json.dumps(body).encode(), heads=heads)


def count(it: Config, records: Sequence[Record], **changes: Any) -> Counted:
    named = intent(config=config_id(it), to=max((r.at + 1 for r in records), default=0), **changes)
    return counting(it).count(named, ("t", 0), records)


def rows(counted: Counted) -> dict[str, int]:
    found: dict[str, int] = {}
    for pane in counted.panes:
        found[pane.model] = found.get(pane.model, 0) + unpack_counts(pane.counts).rows
    return found


def test_all_events_of_a_record_are_of_one_model() -> None:
    """A table of rows of two models is nobody's: which rows were whose would be lost."""
    it = config(a=model(select=BY_FIELD, format="arrow"), b=model(select=BY_FIELD, format="arrow"))

    def table(*names: Any) -> bytes:
        events = [{"id": str(i), "ts": NOW, "f": {"x": 1.0}, "model": {"name": n}} for i, n in enumerate(names)]
        return writers.ipc(writers.table(events))

    values = [table("a", "a", "a"), table("b", "b"), table("a", "b"), table("b", None), table("c")]
    counted = count(it, [Record(i, value) for i, value in enumerate(values)])
    assert rows(counted) == {"a": 3, "b": 2}
    assert [(i, reason) for i, reason, _ in counted.dead] == [(i, "unknown_model") for i in (2, 3, 4)]
    assert "several values in one record" in counted.dead[0][2]


@pytest.mark.parametrize("by", [BY_FIELD, BY_HEADER], ids=["field", "header"])
def test_each_model_has_the_records_that_name_it(by: Select) -> None:
    it = config(a=model(select=by), b=model(select=replace(by, value=("bee", "7"))))
    records = [event(i, name, header=str(name)) for i, name in enumerate(["a", "bee", "7", "a", "b"])]
    counted = count(it, records)
    assert rows(counted) == {"a": 2, "b": 2}
    assert counted.events == {"a": 2, "b": 2}
    assert [(i, reason) for i, reason, _ in counted.dead] == [(4, "unknown_model")]
    assert "'b'; known: 7, a, bee" in counted.dead[0][2]


def test_a_record_of_nobody_is_one_dead_letter_with_the_first_reason_that_applies() -> None:
    it = config(**{f"m{i}": model(select=BY_FIELD) for i in range(30)})
    records = [
        event(0, "m3"),
        Record(1, None),
        Record(2, b"\xff"),
        Record(3, b"{"),
        Record(4, b"[]"),
        event(5, "other"),
        event(6, None),
        event(7, {"deep": 1}),
        event(8, "m4", f=3),  # of a model, which refuses it
        event(9, 5),
    ]
    dead = count(it, records).dead
    assert [(i, reason) for i, reason, _ in dead] == [
        (1, "null_value"),
        (2, "not_utf8"),
        (3, "not_json"),
        (4, "not_an_object"),
        (5, "unknown_model"),
        (6, "unknown_model"),
        (7, "unknown_model"),
        (8, "wrong_type"),
        (9, "unknown_model"),
    ]
    assert [detail.partition(";")[0] for i, _, detail in dead if i in (5, 6, 7, 9)] == [
        "model.name: 'other'",
        "model.name: nothing",
        "model.name: model.name: {'deep': 1}",
        "model.name: '5'",
    ]
    assert dead[4][2].endswith(" and 10 more")


def test_what_cannot_be_read_is_that_and_no_unknown_model_by_header_either() -> None:
    it = config(a=model(select=BY_HEADER))
    counted = count(it, [Record(0, b"{"), event(1, "", header="z"), event(2, ""), event(3, "", header="a")])
    assert [(i, reason) for i, reason, _ in counted.dead] == [
        (0, "not_json"),
        (1, "unknown_model"),
        (2, "unknown_model"),
    ]
    assert rows(counted) == {"a": 1}


def test_a_model_that_selects_nothing_takes_every_record() -> None:
    it = config(a=model(select=BY_FIELD), b=model(select=BY_HEADER), whole=model())
    counted = count(it, [event(0, "a"), event(1, "?", header="b"), event(2, "?"), Record(3, b"?")])
    assert rows(counted) == {"a": 1, "b": 1, "whole": 3}
    assert [(i, reason) for i, reason, _ in counted.dead] == [(3, "not_json")]


def test_a_record_may_be_of_several_models() -> None:
    both = replace(BY_FIELD, value=("x",))
    it = config(a=model(select=both), b=model(select=both), c=model(select=replace(BY_HEADER, value=("x",))))
    assert rows(count(it, [event(0, "x", header="x"), event(1, "x")])) == {"a": 2, "b": 2, "c": 1}


def test_labels_are_selected_too() -> None:
    labels = Labels(
        topic="t", fields=LabelFields(id="id", label="y", time="ts"), select=Select(header="what", value=("label",))
    )
    it = config(a=model(topic=("p",), labels=labels), b=model(select=BY_FIELD))
    told = Record(0, json.dumps({"id": "i", "ts": NOW, "y": 1}).encode(), heads=(("what", b"label"),))
    counted = count(it, [told, event(1, "b"), event(2, "c")])
    assert counted.details == {"waiting": 1}
    assert counted.told == {"a": {"labels_waiting": 1}}
    assert rows(counted) == {"b": 1}
    assert [i for i, _, _ in counted.dead] == [2]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 200)), max_size=20),
    st.lists(st.integers(0, 20), max_size=3).map(sorted),
)
def test_any_cut_gives_the_same_late_events(events: list[tuple[str | None, int]], cuts: list[int]) -> None:
    """What is late follows from all events of the partition, not from those of the model in the block."""
    it = config(a=model(select=BY_FIELD), b=model(select=BY_FIELD), every=model(fields=replace(FIELDS, id="")))
    records = [event(i, name, ago_ms=ago * 1_000) for i, (name, ago) in enumerate(events)]
    whole = count(it, records)
    greatest, parts = None, []
    for n, (first, last) in enumerate(zip([0, *cuts], [*cuts, len(events)], strict=True), 1):
        parts.append(count(it, records[first:last], max_event_ms=greatest, n=n, from_=min(first, len(events))))
        greatest = parts[-1].max_event_ms
    late: dict[str, int] = {}
    for part in parts:
        for name, events_ in part.late.items():
            late[name] = late.get(name, 0) + events_
    assert late == whole.late
    assert greatest == whole.max_event_ms
    total: dict[str, int] = {}
    for part in parts:
        for name, some in rows(part).items():
            total[name] = total.get(name, 0) + some
    assert total == rows(whole)


def test_a_thousand_models_are_read_once_and_each_from_its_own_records(monkeypatch: pytest.MonkeyPatch) -> None:
    it = config(**{f"m{i}": model(select=BY_FIELD) for i in range(1_000)})
    records = [event(i, f"m{i % 5}") for i in range(50)]
    read = []

    def counted(records: Records, plan: Plan, layout: Any, at_ms: int) -> tuple[Batch, list[DeadLetter]]:
        read.append(len(records))
        return decode(records, plan, layout, at_ms)

    monkeypatch.setattr(selections, "decode", counted)
    split = Selection(it, roles_of(it, "t")).split(_records(Runs.of(records)), records, NOW)
    assert read == [50]
    assert [(role[0], len(places)) for role, places in split.whose if places is not None] == [
        (f"m{i}", 10) for i in range(5)
    ]
    assert np.concatenate([p for _, p in split.whose if p is not None]).sum() == sum(range(50))


def test_any_number_of_models_fits_into_an_intent() -> None:
    """Beyond a few, the layouts stand in a list of their own, which whoever makes the block again finds by its id."""
    names = [f"model-{i:04d}" for i in range(1_000)]
    it = config(**{name: model(select=BY_FIELD) for name in names})
    catalog = Publications()
    layout = catalog.add_layout(Layout(pane_ms=1_000, features={"x": NumericLayout(edges=(0.0,))}, predictions={}))
    first = BlockCounting(
        it, catalog=catalog, label_store=MemoryLabelStore(), layouts=lambda: dict.fromkeys(names, layout)
    )
    named = intent(config=config_id(it), to=2, layouts=first.layouts("t"))
    assert len(to_metadata(named)) < 1_000
    records = [event(0, names[7]), event(1, names[999])]
    again = BlockCounting(it, catalog=catalog, label_store=MemoryLabelStore())
    made = [c.count(named, ("t", 0), records).panes for c in (first, again)]
    assert made[0] == made[1]
    assert {(p.model, p.layout) for p in made[0]} == {(names[7], layout), (names[999], layout)}
    with pytest.raises(StateError, match=r"list .* of layouts"):
        BlockCounting(it, catalog=Publications(), label_store=MemoryLabelStore()).count(named, ("t", 0), records)
