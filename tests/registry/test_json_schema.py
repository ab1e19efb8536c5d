"""JSON behind a schema's id: the events are those of the bare JSON, the reasons stand in the contract's order."""

from __future__ import annotations

import json

from connectors.memory_schemas import MemorySchemas
from stream_monitor.formats import decode, decode_labels
from stream_monitor.interfaces import Schema
from tests.registry.makers import NOW, frame, labels_plan, plan, records, shown

SCHEMA = Schema(kind="json_schema", text='{"type": "object", "properties": {"y": {"type": "string"}}}')


def event(i: int) -> bytes:
    return json.dumps({"id": f"e{i}", "ts": NOW + i, "f": {"x": i / 2, "c": "é"}, "y": i}).encode()


def test_events_are_those_of_the_bare_json() -> None:
    schemas = MemorySchemas()
    id = schemas.register(SCHEMA)  # which the events break: that is no reason to lose them
    batch, dead = decode(records([frame(id, event(i)) for i in range(9)]), plan("json_schema", schemas), None, NOW)
    same, _ = decode(records([event(i) for i in range(9)]), plan("json", None), None, NOW)
    assert not dead
    assert {c.name: shown(c) for c in batch.features} == {c.name: shown(c) for c in same.features}
    assert batch.times_ms.tolist() == same.times_ms.tolist()
    assert batch.ids == same.ids
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [id] * 9


def test_the_first_reason_that_applies() -> None:
    schemas = MemorySchemas()
    id = schemas.register(SCHEMA)
    other = schemas.register(Schema(kind="avro", text='"string"'))
    cases: list[tuple[bytes | None, str]] = [
        (None, "null_value"),
        (b"", "not_json"),
        (b"\x00\x00", "not_json"),
        (frame(id, b""), "not_json"),
        (frame(id, b"\xff{}"), "not_utf8"),
        (frame(id, b"[]"), "not_an_object"),
        (frame(77, b"[]"), "not_an_object"),
        (frame(77, b"{nope"), "not_json"),
        (event(1), "unknown_schema"),
        (frame(77, event(1)), "unknown_schema"),
        (frame(other, event(1)), "unknown_schema"),
        (frame(id, b"{}"), "missing_field"),
    ]
    values = [frame(id, event(0)), *(value for value, _ in cases), frame(id, event(2))]
    batch, dead = decode(records(values, first=5), plan("json_schema", schemas), None, NOW)
    assert [(d.index, d.reason) for d in dead] == [(i, reason) for i, (_, reason) in enumerate(cases, 1)]
    assert batch.offsets.tolist() == [5, 5 + len(cases) + 1]
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [id, id]


def test_labels() -> None:
    schemas = MemorySchemas()
    id = schemas.register(SCHEMA)
    values = [frame(id, event(0)), event(1), frame(id, event(2))]
    batch, dead = decode_labels(records(values), labels_plan("json_schema", schemas), NOW)
    assert (batch.ids, batch.labels) == (["e0", "e2"], [0.0, 2.0])
    assert [(d.index, d.reason) for d in dead] == [(1, "unknown_schema")]
