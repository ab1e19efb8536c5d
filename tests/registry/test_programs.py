"""The quick way through Avro and Protobuf against the plain one: the same batch and dead letters, to the last bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from connectors.memory_schemas import MemorySchemas
from stream_monitor.formats.machine import COMPILED
from tests.fuzz.avro import MILLIS, long
from tests.fuzz.framed import Count, differences, differing, plan_of
from tests.fuzz.plain import NOW
from tests.fuzz.protobuf import protobuf_schema, uvarint
from tests.registry.makers import avro_schema, frame, record, records

pytestmark = pytest.mark.skipif(not COMPILED, reason="nothing is compiled, and there is no quick way")


@pytest.mark.parametrize("format", ["avro", "protobuf"])
def test_any_block(format: str) -> None:
    """And most of what is written as its schema says is read by the walk, which is what is tested here.

    The same blocks every time: `make fuzz` seeks others. Should a change of their makers draw them anew: the share of
    150 random pairs is 0.81 (Protobuf) or 0.88 (Avro) with a standard deviation of 0.027.
    """
    count = Count()
    for seed in range(150):
        assert (seed, differences(format, random.Random(seed), count)) == (seed, [])
    assert count.records > 1_000
    assert count.share() > 0.75


MODEL, FEATURES = record(("version", "string"), name="Model"), record(("f0", "double"), name="Features")
EVENT: dict[str, tuple[Any, bytes]] = {  # types, and what is written of them
    "id": ("string", b"\x02p"), "ts": (MILLIS, long(NOW)), "model": (MODEL, b"\x04v1"),
    "features": (FEATURES, bytes(8)), "prediction": ("int", b"\x02"), "score": ("double", bytes(8)),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "type", "written"),
    [
        ("ts", {"type": "int", "logicalType": "time-millis"}, long(5)),  # a time of the day where an instant is wanted
        ("ts", {"type": "long", "logicalType": "time-micros"}, long(5)),
        ("id", "bytes", b"\x04\xff\xfe"),  # bytes that are no text where a value is wanted whole
    ],
)
@pytest.mark.parametrize("case", [0, 1])
def test_events_of_avro_that_were_read_otherwise_once(case: int, name: str, type: Any, written: bytes) -> None:
    schemas, event = MemorySchemas(), {**EVENT, name: (type, written)}
    id = avro_schema(schemas, record(*((of, its) for of, (its, _) in event.items())))
    values = [frame(id, b"".join(data for _, data in event.values()))]
    assert differing("avro", records(values), *plan_of("avro", case, schemas)) == []


def test_a_field_of_protobuf_that_no_event_has_sent() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", syntax="proto3")
    event, model, features = (file.message_type.add(name=name) for name in ("Event", "Model", "Features"))
    for number, (name, kind) in enumerate({"id": 9, "ts": 3, "prediction": 5}.items(), 1):
        event.field.add(name=name, number=number, label=1, type=kind)
    event.field.add(name="model", number=4, label=1, type=11, type_name=".Model")
    event.field.add(name="features", number=5, label=1, type=11, type_name=".Features")
    model.field.add(name="version", number=1, label=1, type=9)
    features.field.add(name="f0", number=1, label=1, type=1)
    features.field.add(name="f1", number=2, label=1, type=1, proto3_optional=True, oneof_index=0)
    features.oneof_decl.add(name="_f1")
    schemas = MemorySchemas()
    id, _ = protobuf_schema(schemas, file)
    value = b"\0\x0a\x01p\x10" + uvarint(NOW) + b"\x18\x01\x22\x04\x0a\x02v1\x2a\x09\x09" + bytes(8)
    plan, layout = plan_of("protobuf", 1, schemas)
    assert differing("protobuf", records([frame(id, value)]), plan, layout) == []
