"""Events as confluent-kafka's own serializers frame them, with a real registry behind."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema as Registered
from confluent_kafka.schema_registry import SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.schema_registry import RegistrySchemas
from deploy.kafka.registry import Registry
from stream_monitor.config import Fields
from stream_monitor.formats import decode
from stream_monitor.interfaces import Schema
from tests.registry.makers import FIELDS, NOW, admin, plan, record, records, shown
from tests.registry.test_protobuf import EVENT as PROTO
from tests.registry.test_protobuf import event as proto_event
from tests.registry.test_protobuf import message, proto

_TOPICS = (f"topic{i}" for i in itertools.count())
MILLIS = {"type": "long", "logicalType": "timestamp-millis"}
AVRO = record(("id", "string"), ("ts", MILLIS), ("f", record(("d", "double"), name="F")), ("y", "int"))


@pytest.fixture
def client(schema_registry: Registry) -> Iterator[SchemaRegistryClient]:
    with admin(schema_registry.url) as made:
        yield made


@pytest.fixture
def schemas(schema_registry: Registry) -> Iterator[RegistrySchemas]:
    with closing(RegistrySchemas(schema_registry.url)) as made:
        yield made


def context() -> SerializationContext:
    return SerializationContext(next(_TOPICS), MessageField.VALUE)


def avro_values(client: SchemaRegistryClient, events: list[dict[str, Any]]) -> list[bytes]:
    write, where = AvroSerializer(client, json.dumps(AVRO)), context()
    return [write({**e, "ts": datetime.fromtimestamp(e["ts"] / 1000, UTC)}, where) for e in events]


def json_values(client: SchemaRegistryClient, events: list[dict[str, Any]]) -> list[bytes]:
    write, where = (
        JSONSerializer(
            json.dumps({"title": "Event", "type": "object", "properties": {"y": {"type": "number"}}}), client
        ),
        context(),
    )
    return [write(e, where) for e in events]


def protobuf_values(client: SchemaRegistryClient, events: list[dict[str, Any]]) -> list[bytes]:
    schema = proto(PROTO)
    write, where = ProtobufSerializer(type(message(schema)), client, {"use.deprecated.format": False}), context()
    made = []
    for i, event in enumerate(events):
        one = proto_event(i, schema)
        one.f.d = event["f"]["d"]
        made.append(write(one, where))
    return made


@pytest.mark.parametrize(
    ("format", "write"), [("avro", avro_values), ("json_schema", json_values), ("protobuf", protobuf_values)]
)
def test_the_same_events(
    schemas: RegistrySchemas,
    client: SchemaRegistryClient,
    format: str,
    write: Callable[[SchemaRegistryClient, list[dict[str, Any]]], list[bytes]],
) -> None:
    fields = Fields(id="id", time="ts", features=("f.d",), prediction="y")
    events = [{"id": f"e{i}", "ts": NOW + i, "f": {"d": i / 2}, "y": i} for i in range(20)]
    batch, dead = decode(records(list(write(client, events))), plan(format, schemas, fields), None, NOW)
    same, _ = decode(records([json.dumps(e).encode() for e in events]), plan("json", None, fields), None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == same.times_ms.tolist()
    assert shown(batch.features[0]) == shown(same.features[0])
    assert batch.prediction is not None
    assert same.prediction is not None
    assert shown(batch.prediction) == shown(same.prediction)


def test_a_message_inside_a_message_and_a_second_one(schemas: RegistrySchemas, client: SchemaRegistryClient) -> None:
    schema = proto(PROTO)
    inside, second = message(schema, 0, 0), message(schema, 1)
    inside.d, second.id = 2.5, "L"
    for made, path, value in ((inside, "d", 2.5), (second, "id", "L")):
        write = ProtobufSerializer(type(made), client, {"use.deprecated.format": False})
        data = write(made, context())
        batch, dead = decode(records([data]), plan("protobuf", schemas, Fields(features=(path,))), None, NOW)
        assert not dead
        assert shown(batch.features[0]) == [value]


def test_imports_that_the_serializer_registers(schemas: RegistrySchemas, client: SchemaRegistryClient) -> None:
    common = 'syntax = "proto3"; package geo; message Point { double x = 1; }'
    main = 'syntax = "proto3"; import "geo/point.proto"; message Event { geo.Point f = 1; }'
    made = message(Schema(kind="protobuf", text=main, references=(("geo/point.proto", common),)))
    made.f.x = 1.5
    data = ProtobufSerializer(type(made), client, {"use.deprecated.format": False})(made, context())
    its = plan("protobuf", schemas, Fields(features="f"))
    batch, dead = decode(records([data]), its, None, NOW)
    assert not dead
    assert [(c.name, shown(c)) for c in batch.features] == [("x", [1.5])]


def test_named_references_in_avro(schemas: RegistrySchemas, client: SchemaRegistryClient) -> None:
    subject, where = next(_TOPICS), context()
    client.register_schema(subject, Registered(json.dumps(record(("x", "double"), name="Inner")), "AVRO"))
    schema = Registered(
        json.dumps(record(("f", "Inner"), name="Outer")), "AVRO", [SchemaReference("Inner", subject, 1)]
    )
    data = AvroSerializer(client, schema)({"f": {"x": 1.5}}, where)
    its = plan("avro", schemas, Fields(features="f"))
    batch, dead = decode(records([data]), its, None, NOW)
    assert not dead
    assert [(c.name, shown(c)) for c in batch.features] == [("x", [1.5])]


def test_versions_of_a_subject_and_one_that_was_deleted(schemas: RegistrySchemas, client: SchemaRegistryClient) -> None:
    where = context()
    old = record(("id", "string"), ("ts", MILLIS), ("f", record(("d", "int"), name="F")), ("y", "int"))
    new = record(
        ("id", "string"), ("ts", MILLIS), ("f", record(("d", "long"), ("more", "double"), name="F")), ("y", "int")
    )
    new["fields"][2]["type"]["fields"][1]["default"] = 0.5
    event = {"id": "e", "ts": datetime.fromtimestamp(NOW / 1000, UTC), "y": 1}
    values = [
        AvroSerializer(client, json.dumps(old))({**event, "f": {"d": 1}}, where),
        AvroSerializer(client, json.dumps(new))({**event, "f": {"d": 2, "more": 7.0}}, where),
    ]
    assert client.get_versions(f"{where.topic}-value") == [1, 2]
    client.delete_subject(f"{where.topic}-value")
    batch, dead = decode(records(values), plan("avro", schemas, FIELDS), None, NOW)
    assert not dead
    assert {c.name: shown(c) for c in batch.features} == {"d": [1.0, 2.0], "more": [{"kind": 3}, 7.0]}
