"""Avro events: types, evolution, what is no event, and fastavro as the second opinion."""

from __future__ import annotations

import decimal
import json
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from unittest.mock import patch

import fastavro
import pytest
from fastavro.read import LOGICAL_READERS
from fastavro.utils import generate_one
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.memory_schemas import MemorySchemas
from stream_monitor.config import Fields
from stream_monitor.counting.batches import MISSING, NESTED
from stream_monitor.errors import StateError, Unreachable
from stream_monitor.formats import decode, decode_labels
from stream_monitor.formats.avro import compile_schema
from stream_monitor.formats.avro_plain import compile_plain
from stream_monitor.formats.avro_values import CONVERSIONS, marked
from stream_monitor.interfaces import Schema
from tests.registry.makers import NOW, avro, avro_schema, frame, labels_plan, plan, record, records, shown

MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
EVENT = record(("id", "string"), ("ts", MILLIS), ("f", record(("x", "double"), name="F")), ("y", "int"))


def event(i: int = 0, **more: Any) -> dict[str, Any]:
    return {"id": f"e{i}", "ts": NOW + i, "f": {"x": i / 2}, "y": i, **more}


def test_events_are_those_of_the_same_json() -> None:
    schemas = MemorySchemas()
    id = avro_schema(schemas, EVENT)
    events = [event(i) for i in range(20)]
    batch, dead = decode(records([avro(id, EVENT, e) for e in events]), plan("avro", schemas), None, NOW)
    same, _ = decode(records([json.dumps(e).encode() for e in events]), plan("json", None), None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == same.times_ms.tolist() == [NOW + i for i in range(20)]
    assert [c.name for c in batch.features] == [c.name for c in same.features] == ["x"]
    assert shown(batch.features[0]) == shown(same.features[0])
    assert batch.prediction is not None
    assert same.prediction is not None
    assert shown(batch.prediction) == shown(same.prediction)
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [id] * 20
    assert same.schema_ids is None


VALUES: list[tuple[Any, Any, Any]] = [
    ("null", None, {"kind": MISSING}),
    ("boolean", True, "true"),
    ("long", -(1 << 53) - 1, float(-(1 << 53) - 1)),
    ("float", 0.5, 0.5),
    ("double", float("inf"), {"kind": 5}),
    (["null", "double"], None, {"kind": MISSING}),
    (["null", "double"], 2.5, 2.5),
    ("bytes", b"ab", "ab"),
    ("bytes", b"\xff\x00", {"kind": NESTED}),
    ({"type": "fixed", "name": "X", "size": 2}, b"ab", "ab"),
    ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", "B"),
    (MILLIS, datetime(2026, 1, 1, 0, 0, 0, 123_000, UTC), "2026-01-01T00:00:00.123000Z"),
    ({"type": "long", "logicalType": "timestamp-micros"}, datetime(1960, 1, 1, tzinfo=UTC),
     "1960-01-01T00:00:00.000000Z"),
    ({"type": "long", "logicalType": "local-timestamp-micros"}, datetime.fromisoformat("2026-01-01T12:00"),
     "2026-01-01T12:00:00.000000"),
    ({"type": "int", "logicalType": "date"}, date(2026, 1, 2), "2026-01-02T00:00:00.000000Z"),
    ({"type": "int", "logicalType": "time-millis"}, time(1, 2, 3, 4000), "01:02:03.004"),
    ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, decimal.Decimal("-12.34"), -12.34),
    ({"type": "fixed", "name": "D", "size": 8, "logicalType": "decimal", "precision": 9, "scale": 3},
     decimal.Decimal("0.001"), 0.001),
    ({"type": "string", "logicalType": "uuid"}, uuid.UUID(int=7), str(uuid.UUID(int=7))),
    ({"type": "int", "logicalType": "made-up"}, 3, 3.0),
    ({"type": "array", "items": "int"}, [1, 2], {"kind": NESTED}),
    ({"type": "map", "values": "int"}, {"a": 1}, {"kind": NESTED}),
    (["null", {"type": "long", "logicalType": "timestamp-millis"}, "int"], 5, 5.0),  # a number: a time is no int
]  # fmt: skip


@pytest.mark.parametrize(("type", "value", "expected"), VALUES)
def test_every_type_becomes_what_json_has(type: Any, value: Any, expected: Any) -> None:
    schemas = MemorySchemas()
    schema = record(("id", "string"), ("ts", MILLIS), ("f", record(("x", type), name="F")), ("y", "int"))
    written = value
    if isinstance(type, list) and value == 5:
        written = ("int", 5)
    data = avro(avro_schema(schemas, schema), schema, event(f={"x": written}))
    batch, dead = decode(records([data]), plan("avro", schemas, columns={"x": "categorical"}), None, NOW)
    assert not dead
    batch, _ = decode(records([data]), plan("avro", schemas, Fields(features=("f.x",))), None, NOW)
    assert shown(batch.features[0]) == [expected]
    named: dict[str, Any] = {}
    parsed = fastavro.parse_schema(marked(schema), named)
    plain = compile_plain(parsed, named)(data, 5)
    assert plain == compile_schema(schemas.schema(1))(data)


@pytest.mark.parametrize(
    ("type", "value", "ms"),
    [
        (MILLIS, 1, 1),  # 1970, which a bare number could not say
        (MILLIS, NOW - 1, NOW - 1),
        ({"type": "long", "logicalType": "timestamp-micros"}, NOW * 1000 + 999, NOW),
        ({"type": "long", "logicalType": "timestamp-nanos"}, NOW * 1_000_000 + 999_999, NOW),
        ({"type": "int", "logicalType": "date"}, NOW // 86_400_000, NOW),
        ("long", NOW // 1000, NOW),
        ("double", NOW / 1000 + 0.5, NOW + 500),
        ("string", "2026-01-01T01:00:00+01:00", NOW),
    ],
)
def test_times_are_exact(type: Any, value: Any, ms: int) -> None:
    schemas = MemorySchemas()
    schema = record(("ts", type))
    data = avro(avro_schema(schemas, schema), schema, {"ts": value})
    batch, dead = decode(records([data]), plan("avro", schemas, Fields(time="ts")), None, NOW)
    assert (batch.times_ms.tolist(), dead) == ([ms], [])


@pytest.mark.parametrize("value", [1 << 62, -(1 << 62)])
def test_a_time_beyond_the_calendar_is_none(value: int) -> None:
    schemas = MemorySchemas()
    schema = record(("ts", MILLIS))
    data = avro(avro_schema(schemas, schema), schema, {"ts": value})
    _, dead = decode(records([data]), plan("avro", schemas, Fields(time="ts")), None, NOW)
    assert [d.reason for d in dead] == ["bad_time"]


def test_schemas_of_one_stream_change() -> None:
    schemas = MemorySchemas()

    def of(*features: tuple[str, Any], aliases: bool = False) -> dict[str, Any]:
        inner = record(*features, name="F")
        if aliases:
            inner["fields"][0]["aliases"] = ["x"]
        return record(("id", "string"), ("ts", MILLIS), ("f", inner), ("y", "int"))

    stages = [
        (of(("x", "int")), {"x": 1}),
        (of(("x", "long"), ("new", "double")), {"x": 2, "new": 0.5}),  # widened, and one more
        (of(("x", "double")), {"x": 2.5}),  # and gone again
        (of(("x", ["null", "double"])), {"x": None}),
        (of(("renamed", "double"), aliases=True), {"renamed": 9.0}),
    ]
    values = [avro(avro_schema(schemas, s), s, event(i, f=f)) for i, (s, f) in enumerate(stages)]
    batch, dead = decode(records(values), plan("avro", schemas), None, NOW)
    missing = {"kind": MISSING}
    assert not dead
    assert {c.name: shown(c) for c in batch.features} == {
        "x": [1.0, 2.0, 2.5, missing, missing],
        "new": [missing, 0.5, missing, missing, missing],
        "renamed": [missing, missing, missing, missing, 9.0],
    }
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [1, 2, 3, 4, 5]


def test_references_to_other_schemas() -> None:
    schemas = MemorySchemas()
    point = {"type": "record", "name": "Point", "namespace": "geo", "fields": [{"name": "x", "type": "double"}]}
    pair = {"type": "record", "name": "Pair", "namespace": "geo", "fields": [
        {"name": "a", "type": "Point"}, {"name": "b", "type": ["null", "geo.Point"]}]}  # fmt: skip
    schema = record(("id", "string"), ("ts", MILLIS), ("f", "geo.Pair"), ("y", "int"))
    id = avro_schema(schemas, schema, ("geo.Point", point), ("geo.Pair", pair))
    named: dict[str, Any] = {}
    fastavro.parse_schema(point, named)
    fastavro.parse_schema(pair, named)
    data = avro(id, schema, event(f={"a": {"x": 1.5}, "b": None}), named)
    batch, dead = decode(records([data]), plan("avro", schemas, Fields(features=("f.a.x", "f.b.x"))), None, NOW)
    assert not dead
    assert [shown(c) for c in batch.features] == [[1.5], [{"kind": MISSING}]]


def test_what_is_no_event() -> None:
    schemas = MemorySchemas()
    id, text = avro_schema(schemas, EVENT), avro_schema(schemas, "string")
    other = schemas.register(Schema(kind="json_schema", text="{}"))
    broken = schemas.register(Schema(kind="avro", text='{"type": "reckord"}'))
    good = avro(id, EVENT, event())
    cases: list[tuple[bytes | None, str, str]] = [
        (None, "null_value", ""),
        (b"\x00" * 2000, "too_large", "2000 bytes"),
        (b"", "not_json", "empty"),
        (b" \n", "not_json", "empty"),
        (b"\x00\x00\x00", "unknown_schema", "3 bytes"),
        (b'{"id": 1}', "unknown_schema", "7b 22 69 64 22"),
        (frame(99, good[5:]), "unknown_schema", "no schema 99"),
        (frame(other, good[5:]), "unknown_schema", f"schema {other} is json_schema"),
        (frame(broken, good[5:]), "unknown_schema", "no Avro schema"),
        (frame(text, b"\x02a"), "not_an_object", "string"),
        (good[:-1], "unknown_schema", f"does not decode with schema {id}"),
        (good + b"\x00", "unknown_schema", "1 bytes are left over"),
        (frame(id, b""), "unknown_schema", "does not decode"),
        (frame(id, b"\x04\xff\xfe" + good[8:]), "not_utf8", "utf-8"),
        (frame(id, b"\xff" * 40), "unknown_schema", "does not decode"),
        (avro(id, EVENT, event(ts=NOW + 4_000_000)), "future_time", ""),
    ]
    its = plan("avro", schemas)
    its = replace(its, max_event=1000, cache={})
    batch, dead = decode(records([good, *(value for value, _, _ in cases), good]), its, None, NOW)
    assert [d.index for d in dead] == list(range(1, len(cases) + 1))
    for letter, (_, reason, detail) in zip(dead, cases, strict=True):
        assert letter.reason == reason, letter
        assert detail in letter.detail
    assert len(batch) == 2
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [id, id]


def test_a_registry_that_does_not_answer_is_no_dead_letter() -> None:
    schemas = MemorySchemas()
    data = records([avro(avro_schema(schemas, EVENT), EVENT, event()), b"unframed"])
    its = plan("avro", schemas)
    schemas.down = True
    with pytest.raises(Unreachable):
        decode(data, its, None, NOW)
    schemas.down = False
    assert len(decode(data, its, None, NOW)[0]) == 1
    schemas.down = True  # a known schema needs no registry
    assert len(decode(data, its, None, NOW)[0]) == 1


def test_an_unknown_id_is_asked_for_again() -> None:
    schemas = MemorySchemas()
    its, data = plan("avro", schemas), records([avro(1, EVENT, event())])
    assert [d.reason for d in decode(data, its, None, NOW)[1]] == ["unknown_schema"]
    avro_schema(schemas, EVENT)
    assert decode(data, its, None, NOW)[1] == []


def test_without_a_registry_nothing_can_be_read() -> None:
    with pytest.raises(StateError, match="no schema registry"):
        decode(records([b"x"]), plan("avro", None), None, NOW)


def test_labels() -> None:
    schemas = MemorySchemas()
    schema = record(("id", "string"), ("ts", MILLIS), ("y", ["null", "boolean"]))
    id = avro_schema(schemas, schema)
    values = [avro(id, schema, {"id": f"e{i}", "ts": NOW, "y": y}) for i, y in enumerate((True, False, None))]
    batch, dead = decode_labels(records([*values, b"no"]), labels_plan("avro", schemas), NOW)
    assert (batch.ids, batch.labels) == (["e0", "e1"], [1.0, 0.0])
    assert [(d.index, d.reason) for d in dead] == [(2, "missing_field"), (3, "unknown_schema")]


def test_a_message_as_deep_as_the_stack_is_a_dead_letter() -> None:
    schemas = MemorySchemas()
    chain = {"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}
    id = avro_schema(schemas, chain)
    its = plan("avro", schemas, Fields(features=("next.next.next",)))
    values = [frame(id, b"\x02" * n + b"\x00") for n in (0, 3, 99, 100, 500_000)]
    batch, dead = decode(records(values), its, None, NOW)
    assert len(batch) == 3
    assert [(d.index, d.reason) for d in dead] == [(3, "not_json"), (4, "not_json")]
    assert "more than 100 levels" in dead[0].detail


def test_a_list_of_nothings_is_not_as_long_as_memory() -> None:
    schemas = MemorySchemas()
    schema = record(("x", {"type": "array", "items": "null"}))
    id = avro_schema(schemas, schema)
    values = [frame(id, b"\x08\x00"), frame(id, b"\xfe\xff\xff\xff\xff\xff\xff\xff\x7f\x00")]
    batch, dead = decode(records(values), plan("avro", schemas, Fields(features=("x",))), None, NOW)
    assert len(batch) == 1
    assert "empty things" in dead[0].detail


PRIMITIVE = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string", "bytes"])


@st.composite
def schemas_of_any_shape(draw: st.DrawFn) -> Any:
    """A record of anything, with names of its own."""
    names = iter(range(1000))

    def type_of(depth: int) -> Any:
        kind = draw(st.integers(0, 7 if depth else 3))
        if kind <= 3:
            return draw(PRIMITIVE)
        if kind == 4:
            return {"type": "array", "items": type_of(depth - 1)}
        if kind == 5:
            return {"type": "map", "values": type_of(depth - 1)}
        if kind == 6:
            fields = [(f"f{i}", type_of(depth - 1)) for i in range(draw(st.integers(0, 3)))]
            return record(*fields, name=f"R{next(names)}")
        return ["null", draw(st.sampled_from(["int", "double", "string", MILLIS]))]

    return record(*((f"f{i}", type_of(3)) for i in range(draw(st.integers(1, 4)))), name="Top")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_fastavro_sees_what_the_plain_reader_sees(data: st.DataObject) -> None:
    """In what was written by Avro's rules, and in what damage has left readable by them."""
    schema = data.draw(schemas_of_any_shape())
    parsed = fastavro.parse_schema(marked(schema))
    plain = compile_schema(Schema(kind="avro", text=json.dumps(schema)))
    ours = {name: lambda value, of=None, _=None, to=convert: to(value, of) for name, convert in CONVERSIONS.items()}

    def theirs(value: bytes) -> Any:
        file = _open(value)
        with patch.dict(LOGICAL_READERS, ours):
            message = fastavro.schemaless_reader(file, parsed, None)
        assert file.tell() == len(value) - 5
        return message

    try:
        value = avro(7, schema, generate_one(fastavro.parse_schema(schema)))
    except (OverflowError, ValueError):  # its own generator goes beyond a type's range
        return
    assert repr(theirs(value)) == repr(plain(value))
    noise = bytearray(value)
    for _ in range(data.draw(st.integers(0, 3))):
        if len(noise) > 5:
            noise[data.draw(st.integers(5, len(noise) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = plain(bytes(noise))
    except (ValueError, EOFError, LookupError, ArithmeticError, TypeError):
        return
    assert repr(theirs(bytes(noise))) == repr(read)


@pytest.mark.parametrize(
    "choice", [["null", "int"], {"type": "enum", "name": "E", "symbols": ["a", "b"]}], ids=["union", "enum"]
)
def test_choices_are_not_counted_from_the_end(choice: Any) -> None:
    """As fastavro counts them: -1 is no choice of Avro's."""
    read = compile_schema(Schema(kind="avro", text=json.dumps(record(("f", choice), name="Top"))))
    head = bytes(5)
    assert read(head + b"\0") == {"f": None if isinstance(choice, list) else "a"}
    for wrong in (1, 3, 4, 5, 6):  # -1, -2, 2, -3, 3
        for value in (bytes([wrong]), bytes([wrong, 2])):
            with pytest.raises(IndexError, match="of 2"):
                read(head + value)


def test_the_library_is_left_as_it_was_for_others() -> None:
    schemas = MemorySchemas()
    compile_schema(schemas.schema(avro_schema(schemas, EVENT)))
    got = fastavro.schemaless_reader(_open(avro(1, EVENT, event())), fastavro.parse_schema(EVENT), None)
    assert isinstance(got, dict)
    assert got["ts"] == datetime(2026, 1, 1, tzinfo=UTC) + timedelta(0)


def _open(value: bytes) -> Any:
    import io

    return io.BytesIO(value[5:])
