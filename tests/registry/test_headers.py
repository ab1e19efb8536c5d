"""Events whose schema is named in a header, as confluent-kafka's own serializers write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.error import SchemaRegistryError
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from connectors.schema_registry import RegistrySchemas
from stream_monitor.config import Fields
from stream_monitor.counting.batches import Headers
from stream_monitor.formats import FORMATS, decode, decode_labels
from stream_monitor.formats.framing import HEADER, number_of
from tests.registry.makers import NOW, labels_plan, plan, record, records, shown
from tests.registry.test_protobuf import EVENT as PROTO
from tests.registry.test_protobuf import event as proto_event
from tests.registry.test_protobuf import message, proto

AVRO = record(
    ("gone", ["null", "int"]),  # the event begins with a zero byte
    ("id", "string"),
    ("ts", "long"),
    ("f", record(("d", "double"), name="F")),
    ("y", "int"),
)
FIELDS = Fields(id="id", time="ts", features=("f.d",), prediction="y")
OPTIONS = {"schema.id.serializer": header_schema_id_serializer}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> SchemaRegistryClient:
    """The client's own twin of a registry, saying of a schema that it has not what servers say."""
    made = SchemaRegistryClient.new_client({"url": "mock://"})
    for name in ("get_schema", "get_schema_by_guid"):
        monkeypatch.setattr(made, name, _as_servers_say(getattr(made, name)))
    return made


def _as_servers_say(ask: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any) -> Any:
        try:
            return ask(*args)
        except SchemaRegistryError as error:
            raise SchemaRegistryError(404, 40403, error.error_message) from None

    return asked


@pytest.fixture
def schemas(client: SchemaRegistryClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[RegistrySchemas]:
    with closing(RegistrySchemas("http://127.0.0.1:1")) as made, monkeypatch.context() as patched:
        patched.setattr(made, "_client", client)
        yield made


def writer(client: SchemaRegistryClient, format: str) -> Any:
    """What writes an event's value, and its header into the context."""
    if format == "avro":
        return AvroSerializer(client, json.dumps(AVRO), conf=OPTIONS)
    if format == "json_schema":
        return JSONSerializer(json.dumps({"title": "Event", "type": "object"}), client, conf=OPTIONS)
    schema = proto(PROTO)
    write = ProtobufSerializer(type(message(schema)), client, {"use.deprecated.format": False, **OPTIONS})

    def one(event: dict[str, Any], where: SerializationContext) -> bytes:
        made = proto_event(event["y"], schema)
        made.f.d = event["f"]["d"]
        return bytes(write(made, where))

    return one


def written(client: SchemaRegistryClient, format: str, n: int = 20) -> tuple[list[bytes], list[Headers]]:
    write = writer(client, format)
    values: list[bytes] = []
    headers: list[Headers] = []
    for i in range(n):
        told: list[tuple[str, bytes]] = [("trace", b"1")]
        where = SerializationContext("topic", MessageField.VALUE, told)
        values.append(write({"id": f"e{i}", "ts": NOW + i, "f": {"d": i / 2}, "y": i}, where))
        headers.append(told)
    return values, headers


@pytest.mark.parametrize("format", ["avro", "json_schema", "protobuf"])
def test_the_same_events(schemas: RegistrySchemas, client: SchemaRegistryClient, format: str) -> None:
    assert FORMATS[format].headers
    values, headers = written(client, format)
    its = plan(format, schemas, FIELDS)
    batch, dead = decode(replace(records(values), headers=headers), its, None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == [NOW + i for i in range(20)]
    assert shown(batch.features[0]) == [i / 2 for i in range(20)]
    assert batch.prediction is not None
    assert shown(batch.prediction) == [float(i) for i in range(20)]
    guid = str(client.get_latest_version("topic-value").guid)
    assert batch.schema_ids is not None
    assert batch.schema_ids.tolist() == [number_of(guid)] * 20


@pytest.mark.parametrize("format", ["avro", "json_schema", "protobuf"])
def test_headers_that_name_nothing(schemas: RegistrySchemas, client: SchemaRegistryClient, format: str) -> None:
    values, good = written(client, format, 5)
    unknown = b"\x01" + bytes(15) + b"\x07" + b"\x00" * (format == "protobuf")
    headers: list[Headers] = [good[0], [(HEADER, b"\x02")], [(HEADER, unknown)], [(HEADER, None)], good[4]]
    batch, dead = decode(replace(records(values), headers=headers), plan(format, schemas, FIELDS), None, NOW)
    assert len(batch) == 2
    assert [(d.index, d.reason) for d in dead] == [(i, "unknown_schema") for i in (1, 2, 3)]
    assert "names no schema: 02" in dead[0].detail
    assert "no schema 00000000-0000-0000-0000-000000000007" in dead[1].detail


def test_ids_in_headers_and_in_front(schemas: RegistrySchemas, client: SchemaRegistryClient) -> None:
    """Producers are changed one after another; and an old id may stand in the header, too."""
    values, headers = written(client, "avro", 2)
    id = client.get_latest_version("topic-value").schema_id.to_bytes(4, "big")
    mixed = [values[0], b"\x00" + id + values[1], values[1]]
    told: list[Headers] = [headers[0], (), [(HEADER, b"\x00" + id)]]
    batch, dead = decode(replace(records(mixed), headers=told), plan("avro", schemas, FIELDS), None, NOW)
    assert not dead
    assert batch.times_ms.tolist() == [NOW, NOW + 1, NOW + 1]


def test_labels(schemas: RegistrySchemas, client: SchemaRegistryClient) -> None:
    values, headers = written(client, "avro", 3)
    batch, dead = decode_labels(replace(records(values), headers=headers), labels_plan("avro", schemas), NOW)
    assert (batch.ids, batch.labels, dead) == (["e0", "e1", "e2"], [0.0, 1.0, 2.0], [])
